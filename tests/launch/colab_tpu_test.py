"""launch/colab_tpu.ipynb: its cells run, without Jupyter.

A line that starts with `!` goes to a shell, `%cd` changes the folder; the rest
is Python. Cloning and installing are left out: the package is here already.
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NOTEBOOK = _ROOT / "launch/colab_tpu.ipynb"
_CELL_KEYS = {
  "markdown": {"cell_type", "id", "metadata", "source"},
  "code": {
    *("cell_type", "id", "metadata", "source"),
    *("execution_count", "outputs"),
  },
}
_TINY = "--gin_file=gin/smoke.gin --gin_param=Evaluation.limit=1"


def _notebook() -> dict:
  return json.loads(_NOTEBOOK.read_text())


def _python(source: str) -> str:
  """A cell as Python; like IPython, a shell line fills in {expressions}."""
  source = re.sub(
    r"^( *)!(.*)$", r"\1_exit_code = shell(f'''\2''')", source, flags=re.M
  )
  return re.sub(r"^( *)%cd (.*)$", r"\1os.chdir(f'''\2''')", source, flags=re.M)


def _code_cells() -> list[str]:
  cells = _notebook()["cells"]
  return [
    _python("".join(cell["source"]))
    for cell in cells
    if cell["cell_type"] == "code"
  ]


class _Kernel:
  """Runs the cells in turn; keeps what they run and show."""

  def __init__(self, monkeypatch, environment: dict[str, str]):
    self.lines, self.shown = [], []
    display = types.ModuleType("IPython.display")
    display.Image = lambda filename: pathlib.Path(filename).read_bytes()
    display.display = self.shown.append
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    for name, value in environment.items():
      monkeypatch.setenv(name, value)

  def shell(self, line: str) -> int:
    self.lines.append(line)
    if re.match("(git clone|pip install) ", line):
      return 0
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(_ROOT)}
    environment.pop("XLA_FLAGS", None)  # the tests' eight devices
    return subprocess.run(line, shell=True, env=environment).returncode

  def run(self) -> None:
    names = {"shell": self.shell}
    for number, cell in enumerate(_code_cells()):
      exec(compile(cell, f"cell {number}", "exec"), names)


def test_it_is_a_notebook_of_format_4_without_outputs():
  notebook = _notebook()
  assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
  assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
  ids = [cell["id"] for cell in notebook["cells"]]
  assert len(set(ids)) == len(ids)
  for cell in notebook["cells"]:
    assert set(cell) == _CELL_KEYS[cell["cell_type"]]
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", cell["id"])
    assert all(line.endswith("\n") for line in cell["source"][:-1])
    if cell["cell_type"] == "code":
      assert cell["outputs"] == []
      assert cell["execution_count"] is None


def test_every_code_cell_parses():
  cells = _code_cells()
  assert len(cells) >= 6
  for cell in cells:
    ast.parse(cell)
    assert not re.search("^ *[!%]", cell, re.M)


def _write_report(workdir: pathlib.Path) -> None:
  for name in ("plots/loss.png", "samples/avqa_best.jpg"):
    (workdir / name).parent.mkdir(parents=True, exist_ok=True)
    (workdir / name).write_bytes(name.encode())
  row = {"id": "avqa/test/3", "text": "two", "reference": {"text": "three"}}
  (workdir / "predictions").mkdir()
  path = workdir / "predictions/avqa.jsonl"
  path.write_text(json.dumps(row) + "\n" + json.dumps({}) + "\n")


def test_it_shows_what_a_training_left(monkeypatch, tmp_path, capsys):
  workdir = tmp_path / "my run"
  _write_report(workdir)
  environment = {"WORKDIR": str(workdir), "FLAGS": "--gin_param=World.seed=1"}
  kernel = _Kernel(monkeypatch, environment)
  monkeypatch.chdir(_ROOT / "launch")
  monkeypatch.setattr(
    kernel, "shell", lambda line: kernel.lines.append(line) or 0
  )
  kernel.run()
  assert pathlib.Path.cwd() == _ROOT
  assert kernel.lines[-1] == (
    "python -m crab_jax.train --gin_file=gin/base.gin"
    f' --workdir="{workdir}" --gin_param=World.seed=1'
  )
  assert kernel.shown == [b"plots/loss.png", b"samples/avqa_best.jpg"]
  said = capsys.readouterr().out
  assert re.search("avqa/test/3\n +answered: two\n +true: +three\n", said)


def test_a_failed_training_stops_the_notebook(monkeypatch, tmp_path):
  kernel = _Kernel(monkeypatch, {"WORKDIR": str(tmp_path)})
  monkeypatch.chdir(_ROOT)
  monkeypatch.setattr(
    kernel, "shell", lambda line: 2 if "crab_jax.train" in line else 0
  )
  with pytest.raises(RuntimeError, match="did not come to its end"):
    kernel.run()


def test_outside_a_checkout_it_clones(monkeypatch, tmp_path):
  kernel = _Kernel(monkeypatch, {"REPOSITORY": "https://example.org/crab"})
  monkeypatch.chdir(tmp_path)
  (tmp_path / "crab_jax").mkdir()
  monkeypatch.setattr(
    kernel, "shell", lambda line: kernel.lines.append(line) or 0
  )
  kernel.run()
  assert kernel.lines[0] == (
    'git clone --depth 1 "https://example.org/crab" crab_jax'
  )
  assert pathlib.Path.cwd() == tmp_path / "crab_jax"


@pytest.mark.slow
def test_it_trains_and_shows_pictures_and_predictions(
  monkeypatch, tmp_path, capfd
):
  workdir = tmp_path / "run"
  environment = {"WORKDIR": str(workdir), "FLAGS": _TINY}
  kernel = _Kernel(monkeypatch, {**environment, "JAX_PLATFORMS": "cpu"})
  monkeypatch.chdir(_ROOT)
  kernel.run()
  assert (workdir / "report.html").stat().st_size > 0
  assert b"\x89PNG" in {picture[:4] for picture in kernel.shown}
  said = capfd.readouterr().out
  assert "CpuDevice" in said
  assert said.count("answered:") >= 7  # one a family at least

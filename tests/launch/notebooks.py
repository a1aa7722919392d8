"""Runs the notebooks of launch/ without Jupyter.

A line that starts with `!` goes to a shell, `%cd` changes the folder; the rest
is Python. Cloning and installing are left out: the package is here already.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("colab_tpu", "colab_own_clips", "colab_ask_a_clip")


def read(name: str) -> dict:
  return json.loads((ROOT / f"launch/{name}.ipynb").read_text())


def _python(source: str) -> str:
  """A cell as Python; like IPython, a shell line fills in {expressions}."""
  source = re.sub(
    r"^( *)!(.*)$", r"\1_exit_code = shell(f'''\2''')", source, flags=re.M
  )
  return re.sub(r"^( *)%cd (.*)$", r"\1os.chdir(f'''\2''')", source, flags=re.M)


def code_cells(name: str) -> dict[str, str]:
  """Id of a cell of code -> its source as Python."""
  return {
    cell["id"]: _python("".join(cell["source"]))
    for cell in read(name)["cells"]
    if cell["cell_type"] == "code"
  }


class Kernel:
  """Runs the cells of a notebook in turn; keeps what they run and show.

  Attributes:
    lines: shell lines.
    shown: pictures.
    colab: what was asked of Colab: (function, arguments).
    names: the notebook's variables.
  """

  def __init__(self, monkeypatch, name: str):
    self.lines, self.shown, self.colab = [], [], []
    self.names = {"shell": self.shell}
    self._cells = code_cells(name)
    display = types.ModuleType("IPython.display")
    display.Image = lambda filename: pathlib.Path(filename).read_bytes()
    display.display = self.shown.append
    drive, output = (
      types.ModuleType(f"google.colab.{x}") for x in ("drive", "output")
    )
    drive.mount = lambda *words: self.colab.append(("mount", words))
    output.serve_kernel_port_as_iframe = lambda *words, **more: (
      self.colab.append(("page", words))
    )
    colab = types.ModuleType("google.colab")
    colab.drive, colab.output = drive, output
    for name, module in (
      ("IPython", types.ModuleType("IPython")),
      ("IPython.display", display),
      ("google.colab", colab),
      ("google.colab.drive", drive),
      ("google.colab.output", output),
    ):
      monkeypatch.setitem(sys.modules, name, module)
    # As a user has it: one CPU device, not the tests' eight.
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    # The tiny programs run for seconds.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

  def shell(self, line: str) -> int:
    self.lines.append(line)
    if re.match("(git clone|pip install) ", line):
      return 0
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(line, shell=True, env=environment).returncode

  def run(self, **settings) -> None:
    """Runs all cells; `settings` replace those of the cell of settings."""
    for name, cell in self._cells.items():
      exec(compile(cell, f"cell {name}", "exec"), self.names)
      if name == "settings":
        assert set(settings) <= set(self.names), settings
        self.names.update(settings)

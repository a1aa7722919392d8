"""launch/colab_tpu.ipynb: its cells run, without Jupyter."""

import json
import pathlib
import re

import pytest

from tests.launch import notebooks

_TINY = "--gin_file=gin/smoke.gin --gin_param=Evaluation.limit=1"


def _kernel(monkeypatch, shell):
  """A kernel of the notebook that runs `shell` in place of shells."""
  kernel = notebooks.Kernel(monkeypatch, "colab_tpu")
  kernel.names["shell"] = shell
  return kernel


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
  kernel = _kernel(monkeypatch, lambda line: kernel.lines.append(line) or 0)
  monkeypatch.chdir(notebooks.ROOT / "launch")
  kernel.run(WORKDIR=str(workdir), FLAGS="--gin_param=World.seed=1", DRIVE=True)
  assert pathlib.Path.cwd() == notebooks.ROOT
  assert kernel.colab == [("mount", ("/content/drive",))]
  assert kernel.lines[-1] == (
    "python -m crab_jax.train --gin_file=gin/base.gin"
    f' --workdir="{workdir}" --gin_param=World.seed=1'
  )
  assert kernel.shown == [b"plots/loss.png", b"samples/avqa_best.jpg"]
  said = capsys.readouterr().out
  assert re.search("avqa/test/3\n +answered: two\n +true: +three\n", said)


def test_a_failed_training_stops_the_notebook(monkeypatch, tmp_path):
  kernel = _kernel(monkeypatch, lambda line: 2 * ("crab_jax.train" in line))
  monkeypatch.chdir(notebooks.ROOT)
  with pytest.raises(RuntimeError, match="did not come to its end"):
    kernel.run(WORKDIR=str(tmp_path))
  assert kernel.colab == []


def test_outside_a_checkout_it_clones(monkeypatch, tmp_path):
  kernel = _kernel(monkeypatch, lambda line: kernel.lines.append(line) or 0)
  monkeypatch.chdir(tmp_path)
  (tmp_path / "crab_jax").mkdir()
  kernel.run(REPOSITORY="https://example.org/crab")
  assert kernel.lines[0] == (
    'git clone --depth 1 "https://example.org/crab" crab_jax'
  )
  assert pathlib.Path.cwd() == tmp_path / "crab_jax"


@pytest.mark.slow
def test_it_trains_and_shows_pictures_and_predictions(
  monkeypatch, tmp_path, capfd
):
  workdir = tmp_path / "run"
  kernel = notebooks.Kernel(monkeypatch, "colab_tpu")
  monkeypatch.chdir(notebooks.ROOT)
  kernel.run(WORKDIR=str(workdir), FLAGS=_TINY)
  assert (workdir / "report.html").stat().st_size > 0
  assert b"\x89PNG" in {picture[:4] for picture in kernel.shown}
  said = capfd.readouterr().out
  assert "CpuDevice" in said
  assert said.count("answered:") >= 7  # one a family at least

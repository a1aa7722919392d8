"""The tiny preset learns: a base that sees faces, then I-LoRA that names emotions."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from crab_jax import configs
from crab_jax.data import preparation
from crab_jax.synthetic import build
from crab_jax.synthetic import perception
from tests import compilations

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_HELD_OUT = 48
_CLIPS = {
  ("perceive_face", "train"): 240,
  ("meld", "train"): 240,
  ("meld", "test"): _HELD_OUT,
}
_EMOTIONS = 7  # of meld
_SETTINGS = {
  "Experiment.world": "None",
  "pictures/Stage.steps": "0",
  "backbone/Stage.steps": "60",
  "backbone/Stage.mixture": "{'perceive_face': 1.0}",
  "backbone/Optimizer.warmup": "0.1",
  "projectors/Stage.steps": "0",
  "tuning/Stage.steps": "60",
  "Stage.mixture": "{'meld': 1.0}",
  "MaskTraining.steps": "0",
  "Validation.every": "0",
  "Evaluation.tasks": "('meld',)",
  "Evaluation.base_alone": "False",
  "Evaluation.unified": "False",
}


def _write_records(folder: pathlib.Path) -> pathlib.Path:
  """The two sets of the embedded world that are asked about faces."""
  table, out = perception.table(), folder / "records"
  for (name, split), count in _CLIPS.items():
    world = configs.World(perception=True, **{f"{split}_samples": count})
    plan = build.plan(table[name], split, world)
    for job in plan.jobs:
      job.write(folder / build.FOLDER, world.video_size, world.video_fps)
    path = folder / build.FOLDER / name / f"{split}.json"
    path.write_text(json.dumps(plan.records))
  config = configs.Preparation(frame_size=112)
  preparation.prepare(folder, out, config=config, table=table)
  return out


@pytest.mark.slow
def test_the_preset_tells_emotions_of_held_out_faces(tmp_path):
  """More of them than one that sees and hears nothing would guess."""
  records = _write_records(tmp_path)
  settings = _SETTINGS | {"Experiment.records": f'"{records}"'}
  done = subprocess.run(
    [
      sys.executable, "-m", "crab_jax.train", "--gin_file=gin/base.gin",
      "--gin_file=gin/encoder_projector.gin", f"--workdir={tmp_path / 'run'}",
      *(f"--gin_param={name}={value}" for name, value in settings.items()),
    ],
    capture_output=True, text=True, cwd=_ROOT,
    env={
      **os.environ, **compilations.SHARED, "XLA_FLAGS": "",
      "JAX_PLATFORMS": "cpu",
    },
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  score = report["tasks"]["meld"]
  assert score["n"] == _HELD_OUT and score["parse_failures"] == 0
  # Three standard errors of so many guesses above the best blind one.
  blind = max(score["chance"], 1 / _EMOTIONS)
  assert score["value"] > blind + 3 * (blind * (1 - blind) / _HELD_OUT) ** 0.5

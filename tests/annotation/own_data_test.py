"""A stranger's path: clips and labels become a trained and scored adapter.

The clips are those of the embedded world, whose reasoning is thrown away.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from crab_jax import configs
from crab_jax.data import annotations
from crab_jax.data import targets
from crab_jax.data import tasks
from crab_jax.synthetic import build
from tests import compilations
from tests.annotation import from_world

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TINY = """
from __gin__ import dynamic_registration
from crab_jax import configs

configs.ILora.rank = 4
configs.ILora.heads = 2
configs.AudioTower.layers = 1
configs.AudioTower.width = 32
configs.AudioTower.mlp = 32
configs.VisionTower.frame_size = 56
configs.VisionTower.layers = 1
configs.VisionTower.full_blocks = (0,)
configs.VisionTower.width = 32
configs.VisionTower.mlp = 32
configs.VisionTower.patch = 14
configs.VisionTower.window = 28
configs.Decoder.layers = 1
configs.Decoder.width = 32
configs.Decoder.heads = 2
configs.Decoder.kv_heads = 1
configs.Decoder.head_size = 16
configs.Decoder.mlp = 32
configs.Decoder.vocabulary = 512
configs.Decoder.rope_sections = (2, 3, 3)
configs.Rows.rows = 2
configs.Rows.supervised = 96
backbone/configs.Stage.steps = 2
tuning/configs.Stage.steps = 2
configs.Logging.router_every = 0
configs.Logging.tensorboard = False
configs.Evaluation.batch = 2
configs.Evaluation.max_new_tokens = 4
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """The folder of the datasets of a small world."""
  folder = tmp_path_factory.mktemp("world")
  settings = configs.World(
    train_samples=12, val_samples=4, test_samples=4, video_size=64
  )
  build.write(folder, settings)
  return folder / "AVUIE_2"


def _run(command, *flags):
  # One CPU device, as a user has: the tests' eight fake ones slow a run.
  done = subprocess.run(
    [sys.executable, "-m", f"crab_jax.{command}", *map(str, flags)],
    capture_output=True, text=True, cwd=_ROOT,
    env={
      **os.environ,
      **compilations.SHARED,
      "XLA_FLAGS": "",
      "JAX_PLATFORMS": "cpu",
    },
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["template", "bare"])
def test_the_world_is_rebuilt_from_its_labels(world, tmp_path, writer):
  """Of every set and split: as many rows, with the same answers."""
  count = from_world.write(world, tmp_path / "my.csv")
  _run(
    "annotate", f"--source={tmp_path}/my.csv", f"--media={world}",
    f"--out={tmp_path}/out", f"--writer={writer}", "--allow_overlap",
  )  # fmt: skip
  summary = json.loads((tmp_path / "out/annotate.json").read_text())
  assert summary["unbuilt"] == []
  table, seen = tasks.Tasks(), 0
  for name, paths in annotations.find(world, table).items():
    for split, path in paths.items():
      one = annotations.read(path)
      other = annotations.read(tmp_path / "out" / name / f"{split}.json")
      assert len(one) == len(other)
      for number, (was, made) in enumerate(zip(one, other, strict=True)):
        found = [
          annotations.parse(table[name], split, number, values)
          for values in (was, made)
        ]
        _require_same(table[name], *found, writer)
        seen += 1
  assert seen == count == 368


def _require_same(task, was, made, writer):
  one, other = (from_world.truth(task, found) for found in (was, made))
  assert (one.label, one.exists, one.caption) == (
    other.label, other.exists, other.caption,
  )  # fmt: skip
  assert set(one.events) == set(other.events)
  if made.target:
    assert one.box == other.box
    assert one.points == other.points or len(one.points) < 3
    bare = targets.bare_answer(task, made.target)
    assert (made.target == bare or task.kind == "existence") or (
      writer == "template"
    )
    assert {"template": len(made.target) > len(bare), "bare": True}[writer] or (
      task.kind == "caption"
    )
  assert made.question == was.question


@pytest.mark.slow
def test_two_commands_to_a_scored_adapter(world, tmp_path):
  """Twenty clips and a CSV."""
  assert from_world.write(world, tmp_path / "my.csv", ("ks",)) == 20
  (tmp_path / "tiny.gin").write_text(_TINY)
  _run(
    "annotate", f"--source={tmp_path}/my.csv", f"--media={world}",
    f"--out={tmp_path}/AVUIE_2", f"--records={tmp_path}/records",
  )  # fmt: skip
  _run(
    "train", "--gin_file=gin/base.gin", "--gin_file=gin/data/records.gin",
    f"--gin_file={tmp_path}/tiny.gin", f"--workdir={tmp_path}/run",
    f'--gin_param=Experiment.records="{tmp_path}/records"',
  )  # fmt: skip
  report = json.loads((tmp_path / "run/report.json").read_text())
  assert "ks" in json.dumps(report)
  assert (tmp_path / "run/report.html").is_file()

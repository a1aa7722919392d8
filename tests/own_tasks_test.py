"""Tasks of one's own, by a JSON file and clips alone, through every command.

A set of actions, and a yes-or-no task of another family: prepared, trained
on, answered, scored and reported as a user calls the commands.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from crab_jax.data import task_files
from tests.data import clips
from tests.data import own_rows

pytestmark = pytest.mark.slow  # a training, and eight commands

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FAULTS = ("sound", "bearing", "belt")
_CLIPS = {"train": 6, "test": 3}
_GIN = """
from __gin__ import dynamic_registration
from crab_jax import configs

configs.ILora.rank = 4
configs.ILora.heads = 2
configs.ILora.alpha = 8.0
configs.AudioTower.bins = 64
configs.AudioTower.layers = 1
configs.AudioTower.width = 32
configs.AudioTower.heads = 2
configs.AudioTower.mlp = 32
configs.AudioTower.pool = 20
configs.VisionTower.frame_size = 56
configs.VisionTower.layers = 1
configs.VisionTower.width = 32
configs.VisionTower.heads = 2
configs.VisionTower.mlp = 32
configs.VisionTower.patch = 14
configs.VisionTower.window = 28
configs.VisionTower.full_blocks = (0,)
configs.Decoder.layers = 1
configs.Decoder.width = 32
configs.Decoder.heads = 2
configs.Decoder.kv_heads = 1
configs.Decoder.head_size = 16
configs.Decoder.mlp = 32
configs.Decoder.vocabulary = 512
configs.Decoder.rope_sections = (2, 3, 3)
configs.Model.adapter = @configs.ILora()
configs.Model.audio = @configs.AudioTower()
configs.Model.vision = @configs.VisionTower()
configs.Model.decoder = @configs.Decoder()
configs.Model.compute_dtype = "float32"
configs.Model.param_dtype = "float32"
configs.Model.remat = "none"
configs.Data.positions_per_second = 2.5
configs.Rows.rows = 2
configs.Rows.tokens = 256
configs.Rows.frame_pairs = 6
configs.Rows.chunks = 6
configs.Rows.supervised = 96
configs.Rows.samples = 4
configs.Stage.rows = @configs.Rows()
configs.Stage.name = "tuning"
configs.Stage.trains = "adapter"
configs.Stage.steps = 3
configs.Logging.every = 1
configs.Logging.router_every = 0
configs.Logging.tensorboard = False
configs.Evaluation.batch = 2
configs.Evaluation.max_new_tokens = 4
configs.Experiment.model = @configs.Model()
configs.Experiment.data = @configs.Data()
configs.Experiment.logging = @configs.Logging()
configs.Experiment.evaluation = @configs.Evaluation()
configs.Experiment.stages = [@configs.Stage()]
"""


def _run(command: str, *arguments) -> subprocess.CompletedProcess:
  # One CPU device, as a user has: the tests' eight fake ones slow a run.
  environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
  return subprocess.run(
    [sys.executable, "-m", f"crab_jax.{command}", *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env=environment,
  )


def _done(command: str, *arguments) -> str:
  done = _run(command, *arguments)
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


def _refused(command: str, *arguments) -> str:
  """The one line with which a command ends that refuses its arguments."""
  done = _run(command, *arguments)
  assert done.returncode == 2, done.stderr[-2000:]
  (line,) = done.stderr.splitlines()
  return line


def _write_machines(source: pathlib.Path) -> None:
  for split, count in _CLIPS.items():
    rows = []
    for i in range(count):
      name, fault = f"{split}{i}", _FAULTS[i % len(_FAULTS)]
      clips.write_video(source / f"machine/video/{name}.mp4", 6)
      sound = clips.tone(1.2, 200 + 100 * i)
      clips.write_audio(source / f"machine/audio/{name}.wav", sound)
      row = {"video_path": f"{name}.mp4", "audio_path": f"{name}.wav"}
      label = f"It is the {fault}. <answer>{fault}</answer>."
      test = split == "test"
      rows.append({**row, **({"fault": fault} if test else {"label": label})})
    clips.write_annotations(source, "machine", split, rows)


def _write_horns(source: pathlib.Path) -> None:
  for split, count in _CLIPS.items():
    rows = []
    for i in range(count):
      name, there = f"{split}{i}", str(i % 3 == 0).lower()
      pixels = np.full((40, 40, 3), 40 * i, np.uint8)
      clips.write_image(source / f"horn/{name}.png", pixels)
      clips.write_audio(source / f"horn/{name}.wav", clips.tone(1.2, 300))
      row = {"image_path": f"{name}.png", "audio_path": f"{name}.wav"}
      if split == "test":
        row |= {"asked_in_test": "a horn", "there": there}
      else:
        label = f"I hear it. <answer>{there}</answer>."
        row |= {"asked": "a horn", "label": label}
      rows.append(row)
    clips.write_annotations(source, "horn", split, rows)


def _train(place: pathlib.Path, *more) -> tuple:
  return (
    f"--gin_file={place / 'own.gin'}",
    f'--gin_param=Experiment.records="{place / "records"}"',
    f"--workdir={place / 'run'}",
    *more,
  )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with source, records and the run of a training."""
  place = tmp_path_factory.mktemp("own")
  rows = {"machine": own_rows.MACHINE, "horn": own_rows.HORN}
  task_file = own_rows.write(place, **rows)
  (place / "own.gin").write_text(_GIN)
  _write_machines(place / "source")
  _write_horns(place / "source")
  said = _done(
    "prepare",
    f"--source={place / 'source'}",
    f"--out={place / 'records'}",
    f"--task_file={task_file}",
    "--frame_size=56",
    "--workers=1",
  )
  assert "18 records" in said
  _done("train", *_train(place, f"--task_file={task_file}"))
  return place


def _check_report(report: pathlib.Path) -> None:
  found = json.loads((report / "report.json").read_text())
  machine, horn = found["tasks"]["machine"], found["tasks"]["horn"]
  assert (machine["family"], machine["metric"]) == ("action", "UAR")
  assert machine["chance"] == pytest.approx(1 / 3)
  assert (horn["family"], horn["metric"]) == ("hearing", "accuracy")
  assert horn["chance"] == pytest.approx(2 / 3)
  assert horn["guess"] == "always false"
  assert machine["n"] == horn["n"] == 3
  assert list(found["families"]) == ["action", "hearing"]
  page = (report / "report.html").read_text()
  assert "machine" in page and "hearing" in page
  assert "| hearing | horn | accuracy |" in (report / "report.md").read_text()


def test_a_training_reports_own_tasks_with_family_metric_and_chance(place):
  _check_report(place / "run")
  lines = (place / "run/metrics.jsonl").read_text().splitlines()
  names = {name for line in lines for name in json.loads(line)}
  assert {"loss/machine", "loss/horn"} <= names
  for folder in ("base", "adapter"):  # what a model was trained on, it tells
    stored = json.loads((place / "run" / folder / task_files.FILE).read_text())
    assert stored["horn"] == own_rows.HORN


def test_records_and_checkpoints_need_no_task_file(place):
  _done(
    "evaluate",
    f"--gin_file={place / 'own.gin'}",
    f'--gin_param=Experiment.records="{place / "records"}"',
    f"--checkpoint={place / 'run/base'}",
    f"--adapter={place / 'run/adapter'}",
    f"--data={place / 'records'}",
    f"--out={place / 'evaluation'}",
  )
  _check_report(place / "evaluation")
  said = _done(
    "predict",
    f"--checkpoint={place / 'run/base'}",
    f"--video={place / 'source/machine/video/test0.mp4'}",
    f"--audio={place / 'source/machine/audio/test0.wav'}",
    f"--out={place / 'answers'}",
    "--max_new_tokens=2",
    "--task=machine",
  )
  assert "machine: " in said


def test_predictions_are_scored_anew_by_the_task_file_alone(place):
  said = _done(
    "evaluate",
    "--rescore",
    f"--predictions={place / 'run/predictions'}",
    f"--task_file={place / 'my_tasks.json'}",
    f"--out={place / 'rescored'}",
  )
  assert "| action | machine | UAR |" in said


def test_a_difference_is_refused_by_the_name_of_task_and_column(
  place, tmp_path
):
  changed = {**own_rows.MACHINE, "metric": "accuracy"}
  other = own_rows.write(tmp_path, machine=changed, horn=own_rows.HORN)
  line = _refused("train", *_train(place, f"--task_file={other}"))
  assert 'task machine differs: its "metric" is "uar" in the records' in line
  line = _refused(
    "predict",
    f"--checkpoint={place / 'run/base'}",
    f"--task_file={other}",
    f"--out={tmp_path}",
    "--task=machine",
  )
  assert 'task machine differs: its "metric" is "uar" in the checkpoint' in line
  # A stage goes on with the tasks that it began with, not with one more.
  more = {"machine": own_rows.MACHINE, "horn": own_rows.HORN}
  third = own_rows.write(tmp_path, **more, whistle=own_rows.HORN)
  line = _refused("train", *_train(place, f"--task_file={third}"))
  assert (
    "task whistle is in the records and the task file and not in the" in line
  )

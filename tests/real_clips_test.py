"""Three real samples go the whole path, as they stand."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests import compilations

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CLIPS = _ROOT.parent / "shared" / "real_clips" / "AVUIE_2"
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(not _CLIPS.is_dir(), reason="the real clips are not here"),
]


def _door(name, *arguments):
  done = subprocess.run(
    [sys.executable, "-m", f"crab_jax.{name}", *arguments],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env={
      **os.environ,
      **compilations.SHARED,
      "XLA_FLAGS": "",
      "JAX_PLATFORMS": "cpu",
    },
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Prepares the clips and trains twenty steps on them."""
  place = tmp_path_factory.mktemp("real")
  _door("prepare", f"--source={_CLIPS}", f"--out={place / 'records'}")
  _door(
    "train",
    "--gin_file=gin/base.gin",
    "--gin_file=gin/data/records.gin",
    f"--gin_param=Experiment.records={str(place / 'records')!r}",
    "--gin_param=backbone/Stage.steps=10",
    "--gin_param=tuning/Stage.steps=10",
    "--gin_param=Logging.every=1",
    "--gin_param=Evaluation.max_new_tokens=8",
    f"--workdir={place / 'run'}",
  )
  return place


def test_all_records_are_good(run):
  summary = json.loads((run / "records" / "summary.json").read_text())
  assert summary["records"] == 6


def test_the_loss_falls(run):
  lines = (run / "run" / "metrics.jsonl").read_text().splitlines()
  backbone = [
    line["loss"]
    for line in map(json.loads, lines)
    if line["stage"] == "backbone" and "loss" in line
  ]
  assert backbone[-1] < backbone[0]


def test_every_dataset_is_scored(run):
  report = json.loads((run / "run" / "report.json").read_text())
  assert set(report["tasks"]) == {"ave", "s4", "ref_avs"}


def test_the_same_door_evaluates_them(run):
  place = run / "run"
  _door(
    "evaluate",
    "--gin_file=gin/base.gin",
    f"--checkpoint={place / 'base'}",
    f"--adapter={place / 'adapter'}",
    f"--data={run / 'records'}",
    f"--out={run / 'eval'}",
    "--gin_param=Evaluation.max_new_tokens=8",
  )
  assert (run / "eval" / "report.html").is_file()


def test_a_clip_is_asked_what_fits_it(run):
  video = _CLIPS / "ave" / "video" / "-67UNKFmRLk.mp4"
  out = run / "answers"
  said = _door(
    "predict",
    f"--checkpoint={run / 'run' / 'base'}",
    f"--adapter={run / 'run' / 'adapter'}",
    f"--video={video}",
    "--task=all",
    "--max_new_tokens=8",
    "--gates",
    f"--out={out}",
  )
  found = json.loads((out / "answers.json").read_text())
  assert len(found) == 14
  for line in found:
    assert (line["gates"] is None) == (not line["text"].strip())
    assert line["gates"] is None or (out / line["gates_picture"]).is_file()
  assert any(line["gates"] for line in found)
  two = (
    "a2v: left out, it compares two videos: it needs --audio and --other_video"
  )
  assert two in said
  assert "avqa: left out, it needs --question" in said

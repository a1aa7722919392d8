"""The whole path through the door: a run, a real stop, the same numbers."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from crab_jax import configs
from tests import compilations

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SETTINGS = (
  "World.train_samples=4",
  "World.val_samples=4",
  "World.test_samples=4",
  "Evaluation.limit=1",
  "Evaluation.max_new_tokens=4",
)
# For runs of which the losses are looked at.
_FEW_ANSWERS = (
  "Evaluation.tasks=('arig',)",
  "Evaluation.base_alone=False",
  "Evaluation.unified=False",
)
pytestmark = pytest.mark.slow


def _command(workdir, *settings):
  return [
    sys.executable,
    "-m",
    "crab_jax.train",
    "--gin_file=gin/base.gin",
    "--gin_file=gin/smoke.gin",
    f"--workdir={workdir}",
    *(f"--gin_param={setting}" for setting in (*_SETTINGS, *settings)),
  ]


def _environment():
  """One CPU device, as a user has: the tests' eight fake ones slow a run."""
  return {
    **os.environ,
    **compilations.SHARED,
    "XLA_FLAGS": "",
    "JAX_PLATFORMS": "cpu",
  }


def _run(workdir, *settings, flags=()):
  return subprocess.run(
    [*_command(workdir, *settings), *flags],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env=_environment(),
  )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A run that nothing disturbed; one step of each stage is traced."""
  workdir = tmp_path_factory.mktemp("run") / "straight"
  done = _run(workdir, flags=["--profile_steps=2:2"])
  assert done.returncode == 0, done.stderr[-2000:]
  return workdir, done


def _losses(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  keys = ("stage", "step", "loss", "gradient_norm")
  found = [json.loads(line) for line in lines]
  return [tuple(line[key] for key in keys) for line in found if "loss" in line]


def test_the_log_tells_the_gradients_of_the_adapter_apart(finished):
  adapter = configs.ILora(heads=3)
  lines = (finished[0] / "metrics.jsonl").read_text().splitlines()
  for line in filter(lambda line: "loss" in line, map(json.loads, lines)):
    parts = {name for name in line if name.startswith("gradient_norm/")}
    wanted = {f"gradient_norm/{name}" for name in adapter.shapes(1, 1)}
    assert parts == (wanted if line["stage"] == "tuning" else set())
    whole = sum(line[name] ** 2 for name in parts) ** 0.5
    assert not parts or whole == pytest.approx(line["gradient_norm"], rel=1e-5)


def test_a_run_leaves_a_report_of_every_dataset(finished):
  workdir, done = finished
  assert f"report: {workdir}" in done.stdout
  report = json.loads((workdir / "report.json").read_text())
  assert len(report["tasks"]) == 19
  for score in report["tasks"].values():
    assert {"metric", "value", "chance", "n", "parse_failures"} <= set(score)
  assert (workdir / "report.md").is_file()
  assert (workdir / "report.html").is_file()


def test_the_steps_of_the_flag_are_traced(finished):
  for stage in ("backbone", "tuning"):
    folder = finished[0] / "profile" / stage
    assert len(list(folder.rglob("*.xplane.pb"))) == 1


def test_a_killed_run_ends_with_the_same_numbers(finished, tmp_path):
  """kill -9 in the middle of training; the same command goes on."""
  process = subprocess.Popen(
    _command(tmp_path, *_FEW_ANSWERS),
    cwd=_ROOT,
    env=_environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    _wait_for(tmp_path / "checkpoints" / "backbone" / "3", process)
  finally:
    process.send_signal(signal.SIGKILL)
    process.wait()
  assert len(_losses(tmp_path)) < len(_losses(finished[0]))
  done = _run(tmp_path, *_FEW_ANSWERS)
  assert done.returncode == 0, done.stderr[-2000:]
  assert _losses(tmp_path) == _losses(finished[0])


def _wait_for(path, process):
  end = time.monotonic() + 600
  while not path.exists():
    assert process.poll() is None, "the run ended before it was killed"
    assert time.monotonic() < end, f"{path} did not come"
    time.sleep(0.02)


def test_a_mesh_that_validates_trains_to_the_same_losses(finished, tmp_path):
  looks = ("Validation.every=3", "Validation.clips=1")
  done = _run(tmp_path, "Mesh.strategy='mesh'", *looks, *_FEW_ANSWERS)
  assert done.returncode == 0, done.stderr[-2000:]
  for ours, theirs in zip(_losses(tmp_path), _losses(finished[0]), strict=True):
    assert ours[:2] == theirs[:2]
    assert ours[2] == pytest.approx(theirs[2], rel=1e-4)
  lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
  judged = [line for line in lines if "validation/score" in line]
  places = [("backbone", 3), ("backbone", 6), ("tuning", 3), ("tuning", 4)]
  assert [(line["stage"], line["step"]) for line in judged] == places
  for line, (stage, step) in zip(judged, places, strict=True):
    sets = {"backbone": 6, "tuning": 19}[stage]  # those of its mixture
    assert sum(name.startswith("validation/loss/") for name in line) == sets
    assert sum(name.startswith("validation/score/") for name in line) == sets
    said = tmp_path / "validation" / stage / f"{step}.jsonl"
    assert len(said.read_text().splitlines()) == sets


def test_evaluate_reads_what_train_wrote(finished, tmp_path):
  workdir, _ = finished
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "crab_jax.evaluate",
      "--gin_file=gin/base.gin",
      "--gin_file=gin/smoke.gin",
      f"--checkpoint={workdir / 'base'}",
      f"--adapter={workdir / 'adapter'}",
      f"--data={workdir / 'records'}",
      f"--out={tmp_path}",
      "--tasks=ave,s4",
    ],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env=_environment(),
  )
  assert done.returncode == 0, done.stderr[-2000:]
  report = json.loads((tmp_path / "report.json").read_text())
  assert set(report["tasks"]) == {"ave", "s4"}


@pytest.mark.parametrize(
  ("argument", "culprit"),
  [
    ("--gin_param=ILora.rnk=1", "rnk"),
    ("--gin_file=gin/none.gin", "gin/none.gin"),
    ("--wokdir=x", "wokdir"),
    ("--workdir=gs://bucket/run", "--workdir=gs://bucket"),
    ("--gin_param=Stage.mixture={'nosuch': 1}", "nosuch"),
  ],
)
def test_a_mistake_is_one_line(finished, argument, culprit):
  workdir, _ = finished
  done = subprocess.run(
    [*_command(workdir), argument],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env=_environment(),
  )
  assert done.returncode == 2
  assert culprit in done.stderr.splitlines()[-1]
  assert "Traceback" not in done.stderr


def test_a_run_goes_on_with_other_settings_only_where_they_are_allowed(
  finished, tmp_path
):
  """Here one that fits every array: a run that has only to be evaluated."""
  workdir = tmp_path / "copy"
  shutil.copytree(finished[0], workdir)
  refused = _run(workdir, "ILora.alpha=3200.0")
  assert refused.returncode == 2
  assert "ILora.alpha was 32.0 and is 3200.0" in refused.stderr
  assert refused.stderr.splitlines()[-1].startswith("error: ")
  assert "Traceback" not in refused.stderr
  allow = "--allow_change=ILora.alpha"
  done = _run(workdir, "ILora.alpha=3200.0", flags=[allow])
  assert done.returncode == 0, done.stderr[-2000:]
  for name in ("predictions", "predictions_of_unified"):
    # Stale ones count for nothing; those of the base are as they were.
    assert f"{workdir / name}: another state" in done.stdout
    before, now = (
      json.loads((run / name / "run.json").read_text())
      for run in (finished[0], workdir)
    )
    assert before["network"] != now["network"]
  about = json.loads((workdir / "report.json").read_text())["about"]
  (change,) = about["changed while training"].split("; ")
  assert change == "stage tuning: ILora.alpha was 32.0 and is 3200.0"

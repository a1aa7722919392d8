"""Runs that are killed, preempted or moved, through the door `train`."""

import json
import os
import random
import shutil
import time

import pytest

from tests import small_runs

# Each costs a start of some ten seconds; KILLS=20 for more.
_KILLS = int(os.environ.get("KILLS", "10"))
_NOTICE = 30  # seconds from SIGTERM to the end
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def shared(place):
  """The setting that lets all runs share their compiled programs."""
  return f"Experiment.compiled='{place / 'compiled'}'"


@pytest.fixture(scope="module")
def straight(place, shared):
  """A run that nothing disturbed; the programs are compiled after it."""
  workdir = place / "straight"
  small_runs.finish(small_runs.flags(workdir, shared), place / "straight.log")
  return workdir


def test_kills_change_nothing(place, shared, straight):
  """kill -9 at random moments of a run, and of the runs that go on from it."""
  again, workdir = place / "again", place / "killed"
  whole = small_runs.finish(
    small_runs.flags(again, shared), place / "again.log"
  )
  assert small_runs.results(again) == small_runs.results(straight)

  def check(_):
    assert small_runs.results(workdir) == small_runs.results(straight)
    shutil.rmtree(workdir)

  run = small_runs.flags(workdir, shared), place / "killed.log"
  small_runs.kill_and_finish(
    lambda _: run, _KILLS, random.Random(0), whole, check
  )


def _line(text):
  return lambda workdir, log: text in log.read_text()


def _file(name):
  return lambda workdir, log: any(workdir.glob(name))


@pytest.mark.parametrize(
  ("moment", "wait", "compiled"),
  [
    pytest.param(_file("records/journal/*"), 0, "", id="preparation"),
    pytest.param(_line("stage backbone:"), 3, "off", id="first_compile"),
    pytest.param(_file("checkpoints/backbone/3"), 0, "", id="training"),
    pytest.param(_line("stage tuning:"), 3, "off", id="second_compile"),
    pytest.param(_file("predictions/*.jsonl"), 0, "", id="evaluation"),
  ],
)
def test_sigterm_ends_in_time(
  moment, wait, compiled, shared, straight, tmp_path
):
  log = tmp_path / "log"
  log.touch()
  cache = f"Experiment.compiled='{compiled}'" if compiled else shared
  workdir = tmp_path / "run"
  with small_runs.started(small_runs.flags(workdir, cache), log) as process:
    while not moment(workdir, log):
      assert process.exitcode is None, log.read_text()[-2000:]
      time.sleep(0.01)
    time.sleep(wait)
    process.terminate()
    process.join(_NOTICE)
    assert process.exitcode == 0
  assert "stopped" in log.read_text()
  assert not (workdir / "report.html").exists()
  small_runs.finish(small_runs.flags(workdir, shared), log)
  assert small_runs.results(workdir) == small_runs.results(straight)


@pytest.mark.parametrize(
  ("devices", "mesh"),
  [
    (2, ()),
    (4, ("Mesh.strategy='mesh'", "Mesh.fsdp=2", "Mesh.tensor=2")),
  ],
)
def test_a_run_moves_to_other_devices(
  devices, mesh, shared, straight, tmp_path
):
  """Begun on one device, ended on several: the same losses to rounding."""
  workdir, log = tmp_path / "run", tmp_path / "log"
  log.touch()
  with small_runs.started(small_runs.flags(workdir, shared), log) as process:
    while not (workdir / "checkpoints" / "tuning" / "3").exists():
      assert process.exitcode is None, log.read_text()[-2000:]
      time.sleep(0.01)
    process.terminate()
    process.join(_NOTICE)
    assert process.exitcode == 0
  small_runs.finish(
    small_runs.flags(workdir, shared, *mesh),
    log,
    small_runs.environment(devices),
  )
  ours, theirs = (
    small_runs.results(path)["log"] for path in (workdir, straight)
  )
  for one, other in zip(ours, theirs, strict=True):
    assert one.pop("stage") == other.pop("stage")
    assert one == pytest.approx(other, rel=2e-4)


def test_hosts_that_differ_say_so(tmp_path):
  found = small_runs.pair(tmp_path / "run", tmp_path, ((), ("Data.seed=43",)))
  for code, text in found:
    (line,) = (x for x in text.splitlines() if x.startswith("error:"))
    assert code == 2
    assert "host 1 differs from host 0 in the configuration" in line
    assert "Data.seed = 43' there" in line
    assert "Traceback" not in text


def test_hosts_with_other_devices_say_so(tmp_path):
  for code, text in small_runs.pair(
    tmp_path / "run", tmp_path, ((), ()), devices=(2, 1)
  ):
    (line,) = (x for x in text.splitlines() if x.startswith("error:"))
    assert code == 2
    assert "number of devices: '1' there, '2' on host 0" in line


@pytest.mark.parametrize("strategy", ["pmap", "mesh"])
def test_hosts_train_and_evaluate_together(strategy, tmp_path):
  """Every clip is answered once; then one host alone trains on."""
  workdir = tmp_path / "run"
  settings = (f"Mesh.strategy='{strategy}'",)
  both = small_runs.pair(workdir, tmp_path, (settings, settings))
  for host, (code, text) in enumerate(both):
    assert code == 0, text[-2000:]
    assert (f"report: {workdir / 'report.html'}" in text) == (host == 0)
  for task in small_runs.TASKS:
    (line,) = (workdir / "predictions" / f"{task}.jsonl").open()
    assert json.loads(line)["task"] == task
  log = tmp_path / "alone.log"
  longer = small_runs.flags(workdir, *settings, "tuning/Stage.steps=15")
  small_runs.finish([*longer, "--allow_change=Stage.steps"], log)
  assert log.read_text().count("2 streams of 2 hosts become 1 of 1") == 2
  steps = {(x["stage"], x["step"]) for x in small_runs.results(workdir)["log"]}
  assert steps >= {("tuning", step) for step in range(1, 16)}

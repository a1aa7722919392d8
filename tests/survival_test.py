"""Runs that are killed, preempted or moved, through the door `train`.

A very small network on the whole embedded world: every part of a run is there,
and a start takes seconds: runs share their compiled programs, and are forked
from a server that has imported what they need. Signals are real.
"""

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import time

import jax
import pytest

from crab_jax import cli
from crab_jax import train
from crab_jax.training import model_folder

_KILLS = 20
_EACH = 5  # kills of one run
_NOTICE = 30  # seconds from SIGTERM to the end
_RATES = (
  "samples_per_second",
  "tokens_per_second",
  "data_wait_share",
  "padding_share",
)
# Prompts of one length: one program decodes them, and a start traces it once.
_TASKS = ("ave", "ucf", "ks")
_SETTINGS = (
  "World.train_samples=4",
  "World.train_factors=None",
  "World.val_samples=4",
  "World.test_samples=4",
  "World.video_size=48",
  "World.video_fps=2",
  "Decoder.layers=1",
  "AudioTower.layers=1",
  "VisionTower.layers=1",
  "VisionTower.full_blocks=(0,)",
  "Rows.rows=4",
  "Rows.tokens=256",
  "Rows.frame_pairs=10",
  "Rows.chunks=10",
  "Rows.supervised=96",
  "pictures/Stage.steps=0",
  "backbone/Stage.steps=12",
  "tuning/Stage.steps=12",
  "Saving.every=3",
  "Logging.every=1",
  "Logging.tensorboard=False",
  "Evaluation.limit=1",
  f"Evaluation.tasks={_TASKS}",
  "Evaluation.batch=1",
  "Evaluation.max_new_tokens=4",
)
pytestmark = pytest.mark.slow


def _flags(workdir, *settings):
  return [
    "--gin_file=gin/base.gin",
    "--gin_file=gin/smoke.gin",
    f"--workdir={workdir}",
    *(f"--gin_param={setting}" for setting in (*_SETTINGS, *settings)),
  ]


def _environment(devices=1, **more):
  flags = f"--xla_force_host_platform_device_count={devices}"
  return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **more}


def _train(arguments, log, environment):
  """The door, in a process that has imported all that it needs."""
  os.environ.update(environment)
  file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
  os.dup2(file, 1)
  os.dup2(file, 2)
  sys.argv = ["train", *arguments]
  # Small programs are shared too: a start compiles nothing at all.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  cli.run(train.main)


_FORK = multiprocessing.get_context("forkserver")
# The command imports the rest only after its flags.
_FORK.set_forkserver_preload(
  ["tests.survival_test", "crab_jax.experiment.run", "__main__"]
)


@contextlib.contextmanager
def _started(arguments, log, environment=None):
  """A run in the background; it is gone at the end of the block."""
  process = _FORK.Process(
    target=_train, args=(arguments, log, environment or _environment())
  )
  process.start()
  try:
    yield process
  finally:
    process.kill()
    process.join()


def _finish(arguments, log, environment=None):
  """Runs to the end; returns how many seconds it took."""
  start = time.monotonic()
  with _started(arguments, log, environment) as process:
    process.join(1200)
    assert process.exitcode == 0, log.read_text()[-2000:]
  return time.monotonic() - start


def _without_rates(line):
  return {name: line[name] for name in line if name not in _RATES}


def _results(workdir):
  """Everything that must be equal to the bit."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  found = {"log": [_without_rates(json.loads(line)) for line in lines]}
  for pattern in ("adapter/*", "predictions/*.jsonl"):
    for path in sorted(workdir.glob(pattern)):
      found[str(path.relative_to(workdir))] = path.read_bytes()
  base = model_folder.load_params(workdir / "base")
  for path, leaf in jax.tree_util.tree_leaves_with_path(base):
    found[jax.tree_util.keystr(path)] = leaf.tobytes()
  return found


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
  _finish(_flags(workdir, shared), place / "straight.log")
  return workdir


def _kill_and_finish(flags, log, moment, kills, chance, whole):
  """Kills a run so many times, then lets it end; how often it was killed.

  Args:
    flags: of the door.
    log: what it prints.
    moment: seconds until the first kill.
    kills: at most: it may come to its end before.
    chance: of the later moments, anywhere in what is left.
    whole: seconds of a run that nothing disturbs.
  """
  alive = 0.0
  for done in range(kills):
    with _started(flags, log) as process:
      process.join(moment)
      code = process.exitcode
    if code is not None:
      assert code == 0, log.read_text()[-2000:]
      return done
    alive += moment
    moment = chance.uniform(0, max(whole - alive, whole / 4))
  _finish(flags, log)
  return kills


def test_20_kills_change_nothing(place, shared, straight):
  """kill -9 at random moments of a run, and of the runs that go on from it.

  Four runs are killed five times each, and then end; the first kill of each
  falls into another quarter. One that ends before makes room for a fifth.
  """
  again, workdir = place / "again", place / "killed"
  whole = _finish(_flags(again, shared), place / "again.log")
  assert _results(again) == _results(straight)
  chance, log = random.Random(0), place / "killed.log"
  kills, runs = 0, 0
  while kills < _KILLS:
    moment = whole * (runs % 4 + chance.random()) / 4
    kills += _kill_and_finish(
      _flags(workdir, shared),
      log,
      moment,
      min(_EACH, _KILLS - kills),
      chance,
      whole,
    )
    runs += 1
    assert _results(workdir) == _results(straight)
    shutil.rmtree(workdir)


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
  with _started(_flags(workdir, cache), log) as process:
    while not moment(workdir, log):
      assert process.exitcode is None, log.read_text()[-2000:]
      time.sleep(0.01)
    time.sleep(wait)
    process.terminate()
    process.join(_NOTICE)
    assert process.exitcode == 0
  assert "stopped" in log.read_text()
  assert not (workdir / "report.html").exists()
  _finish(_flags(workdir, shared), log)
  assert _results(workdir) == _results(straight)


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
  with _started(_flags(workdir, shared), log) as process:
    while not (workdir / "checkpoints" / "tuning" / "3").exists():
      assert process.exitcode is None, log.read_text()[-2000:]
      time.sleep(0.01)
    process.terminate()
    process.join(_NOTICE)
    assert process.exitcode == 0
  _finish(_flags(workdir, shared, *mesh), log, _environment(devices))
  ours, theirs = (_results(path)["log"] for path in (workdir, straight))
  for one, other in zip(ours, theirs, strict=True):
    assert one.pop("stage") == other.pop("stage")
    assert one == pytest.approx(other, rel=2e-4)


def _pair(tmp_path, settings, devices=(1, 1)):
  """Exit code and output of each of two hosts."""
  port = 20000 + os.getpid() % 20000
  found = []
  with contextlib.ExitStack() as stack:
    hosts = []
    for host in range(2):
      environment = _environment(
        devices[host],
        JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
        JAX_NUM_PROCESSES="2",
        JAX_PROCESS_ID=str(host),
      )
      flags = [*_flags(tmp_path / "run", *settings[host]), "--distributed"]
      log = tmp_path / f"{host}.log"
      hosts.append(
        (stack.enter_context(_started(flags, log, environment)), log)
      )
    for process, log in hosts:
      process.join(1200)
      found.append((process.exitcode, log.read_text()))
  return found


def test_hosts_that_differ_say_so(tmp_path):
  found = _pair(tmp_path, ((), ("Data.seed=43",)))
  for code, text in found:
    (line,) = (x for x in text.splitlines() if x.startswith("error:"))
    assert code == 2
    assert "host 1 differs from host 0 in the configuration" in line
    assert "Data.seed = 43' there" in line
    assert "Traceback" not in text


def test_hosts_with_other_devices_say_so(tmp_path):
  for code, text in _pair(tmp_path, ((), ()), devices=(2, 1)):
    (line,) = (x for x in text.splitlines() if x.startswith("error:"))
    assert code == 2
    assert "number of devices: '1' there, '2' on host 0" in line


@pytest.mark.parametrize("strategy", ["pmap", "mesh"])
def test_hosts_train_and_evaluate_together(strategy, tmp_path):
  """Every clip is answered once; then one host alone trains on."""
  workdir = tmp_path / "run"
  settings = (f"Mesh.strategy='{strategy}'",)
  for host, (code, text) in enumerate(_pair(tmp_path, (settings, settings))):
    assert code == 0, text[-2000:]
    assert (f"report: {workdir / 'report.html'}" in text) == (host == 0)
  for task in _TASKS:
    (line,) = (workdir / "predictions" / f"{task}.jsonl").open()
    assert json.loads(line)["task"] == task
  log = tmp_path / "alone.log"
  longer = _flags(workdir, *settings, "tuning/Stage.steps=15")
  _finish([*longer, "--allow_change=Stage.steps"], log)
  assert log.read_text().count("2 streams of 2 hosts become 1 of 1") == 2
  steps = {(x["stage"], x["step"]) for x in _results(workdir)["log"]}
  assert steps >= {("tuning", step) for step in range(1, 16)}

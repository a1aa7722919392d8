"""Runs of the door `train` that tests kill, stop and move.

A very small network on the whole embedded world: every part of a run is there
that `results` compares, and a start takes seconds: runs share their compiled
programs, and are forked from a server that has imported what they need. Signals
are real.
"""

import contextlib
import multiprocessing
import os
import sys
import time

import jax

from crab_jax import cli
from crab_jax import files
from crab_jax import train
from crab_jax.training import metrics
from crab_jax.training import model_folder

EACH = 5  # kills of one run
# Prompts of one length: one program decodes them, and a start traces it once.
TASKS = ("ave", "ucf", "ks")
_RATES = (
  "samples_per_second",
  "tokens_per_second",
  "data_wait_share",
  "padding_share",
)
_SETTINGS = (
  "World.train_samples=4",
  "World.train_factors=None",
  "World.val_samples=4",
  "World.test_samples=4",
  "World.unified_samples=0",
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
  "Validation.batches=2",
  "Evaluation.base_alone=False",
  "Evaluation.unified=False",
  "Evaluation.limit=1",
  f"Evaluation.tasks={TASKS}",
  "Evaluation.batch=1",
  "Evaluation.max_new_tokens=4",
)


def flags(workdir, *settings):
  """What the door is told: a folder or gs://, and settings on top."""
  return [
    "--gin_file=gin/base.gin",
    "--gin_file=gin/smoke.gin",
    f"--workdir={workdir}",
    *(f"--gin_param={setting}" for setting in (*_SETTINGS, *settings)),
  ]


def environment(devices=1, **more):
  """Variables of a process with so many devices."""
  count = f"--xla_force_host_platform_device_count={devices}"
  return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": count, **more}


def _train(arguments, log, variables):
  """The door, in a process that has imported all that it needs."""
  os.environ.update(variables)
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
  ["tests.small_runs", "crab_jax.experiment.run", "__main__"]
)


@contextlib.contextmanager
def started(arguments, log, variables=None):
  """A run in the background; it is gone at the end of the block."""
  process = _FORK.Process(
    target=_train, args=(arguments, log, variables or environment())
  )
  process.start()
  try:
    yield process
  finally:
    process.kill()
    process.join()


def finish(arguments, log, variables=None):
  """Runs to the end; returns how many seconds it took."""
  start = time.monotonic()
  with started(arguments, log, variables) as process:
    process.join(1200)
    assert process.exitcode == 0, log.read_text()[-2000:]
  return time.monotonic() - start


def _killed_and_finished(run, moment, kills, chance, whole):
  """Kills a run so many times, then lets it end; how often it was killed.

  Args:
    run: arguments of `started`.
    moment: seconds until the first kill.
    kills: at most: it may come to its end before.
    chance: of the later moments, anywhere in what is left.
    whole: seconds of a run that nothing disturbs.
  """
  alive = 0.0
  for done in range(kills):
    with started(*run) as process:
      process.join(moment)
      code = process.exitcode
    if code is not None:
      assert code == 0, run[1].read_text()[-2000:]
      return done
    alive += moment
    moment = chance.uniform(0, max(whole - alive, whole / 4))
  finish(*run)
  return kills


def kill_and_finish(run, kills, chance, whole, check):
  """Kills runs at random moments, `EACH` times each, and lets each end.

  The first kill of each falls into another quarter. One that ends before makes
  room for another, and tells how long a run takes now; there are at most four
  times as many runs as are needed.

  Args:
    run: gives the arguments of `started` for the run of a number.
    kills: of all runs together.
    chance: random numbers.
    whole: seconds of a run that nothing disturbs.
    check: is called with the number of a run that has ended.
  """
  done, runs = 0, 0
  while done < kills and runs < 4 * -(-kills // EACH):
    moment = whole * (runs % 4 + chance.random()) / 4
    begun = time.monotonic()
    killed = _killed_and_finished(
      run(runs), moment, min(EACH, kills - done), chance, whole
    )
    if not killed:
      whole = min(whole, time.monotonic() - begun)
    done += killed
    check(runs)
    runs += 1
  assert done == kills, f"{done} kills in {runs} runs"


def pair(workdir, folder, settings, devices=(1, 1), **variables):
  """Exit code and output of each of two hosts.

  Args:
    workdir: of both.
    folder: where their logs are put.
    settings: of each.
    devices: of each.
    **variables: of the environment of both.
  """
  port = 20000 + os.getpid() % 20000
  found = []
  with contextlib.ExitStack() as stack:
    hosts = []
    for host in range(2):
      own = environment(
        devices[host],
        JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
        JAX_NUM_PROCESSES="2",
        JAX_PROCESS_ID=str(host),
        **variables,
      )
      arguments = [*flags(workdir, *settings[host]), "--distributed"]
      log = folder / f"{host}.log"
      hosts.append((stack.enter_context(started(arguments, log, own)), log))
    for process, log in hosts:
      process.join(1200)
      found.append((process.exitcode, log.read_text()))
  return found


def _without_rates(line):
  return {name: line[name] for name in line if name not in _RATES}


def results(workdir):
  """Everything of a work directory that must be equal to the bit."""
  workdir = files.path(workdir)
  found = {"log": [_without_rates(line) for line in metrics.read(workdir)]}
  paths = [
    *files.find(workdir / "adapter", "*"),
    *files.listing(workdir / "predictions", "*.jsonl"),
  ]
  for path in paths:
    name = str(path).removeprefix(str(workdir)).lstrip("/")
    found[name] = files.read_bytes(path)
  base = model_folder.load_params(workdir / "base")
  for path, leaf in jax.tree_util.tree_leaves_with_path(base):
    found[jax.tree_util.keystr(path)] = leaf.tobytes()
  return found

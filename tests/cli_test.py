"""What a user's mistake looks like: one line, exit code 2, no traceback."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest

_COMMAND = textwrap.dedent('''
  """A command for the test."""
  from absl import flags
  from crab_jax import cli
  from crab_jax import configs
  from crab_jax import errors

  _COUNT = flags.DEFINE_integer("count", 1, "A number.")
  _FOLDER = flags.DEFINE_string("folder", "here", "A folder.")

  def main():
    cli.local_folder(_FOLDER)
    if _COUNT.value == 7:
      raise errors.UserError("seven is\\nnot allowed")
    return 3 if _COUNT.value == 3 else None

  cli.run(main)
''')


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-c", _COMMAND, *arguments], capture_output=True, text=True
  )


@pytest.mark.parametrize(
  ("arguments", "culprit"),
  [
    (["--cuont=2"], "cuont"),
    (["--count=two"], "count"),
    (["--count=7"], "seven is not allowed"),
    (["stray"], "stray"),
    (["--folder", "--count=1"], "--folder has no value before --count=1"),
    (["--folder", "-count=1"], "--folder has no value before -count=1"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, culprit):
  done = _run(*arguments)
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert culprit in done.stderr


@pytest.mark.parametrize(("count", "code"), [(1, 0), (3, 3)])
def test_the_code_of_main_is_the_exit_code(count, code):
  assert _run(f"--count={count}").returncode == code


@pytest.mark.slow  # it is asked several times before it is given up
def test_a_folder_in_a_bucket_that_cannot_be_reached_is_named():
  done = _run("--folder=gs://bucket/run")
  assert done.returncode == 2
  assert "--folder=gs://bucket" in done.stderr
  assert done.stderr.count("\n") == 1


def test_help_tells_the_flags():
  done = _run("--help")
  assert done.returncode == 0
  assert done.stdout.startswith("A command for the test.")
  assert "--count\n      A number. (default: '1')" in done.stdout
  # absl's own: parsed, not shown.
  assert "--verbosity" not in done.stdout
  assert _run("--verbosity=0").returncode == 0


_ABANDONED = """
  import asyncio, gc
  from crab_jax import cli
  from crab_jax import configs

  async def fail():
    raise ValueError("told already")

  class Late:
    def __init__(self, words):
      self.words = words

    def __del__(self):
      raise RuntimeError(self.words)

  async def abandon():
    failing = asyncio.create_task(fail())
    await asyncio.wait([failing])

  def main():
    asyncio.run(abandon())
    Late("Event loop is closed")
    Late("Encountered error while reading array index: 3")
    Late("a defect of ours")
    gc.collect()

  cli.run(main)
"""


def test_abandoned_reads_are_silent_and_other_faults_are_not():
  """A task that nobody awaits and a closed loop are what orbax leaves."""
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(_ABANDONED)],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0
  assert "told already" not in done.stderr
  assert "loop is closed" not in done.stderr
  assert "array index" not in done.stderr
  assert "a defect of ours" in done.stderr


_HOST = """
  import time
  from crab_jax import cli
  from crab_jax import configs
  from crab_jax import errors
  from crab_jax.training import hosts

  def main():
    hosts.join(configs.Hosts())
    if hosts.index() == 1:
      raise {error}("told by host 1")
    time.sleep(600)

  cli.run(main)
"""


@pytest.mark.parametrize(
  ("error", "code", "lines"),
  [("errors.UserError", 2, 1), ("ValueError", 1, 8)],
)
def test_a_host_that_fails_waits_for_no_other(error, code, lines):
  """The other one waits for it, in vain."""
  script = textwrap.dedent(_HOST).format(error=error)
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  where = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", script],
      env={**os.environ, **where, "JAX_PROCESS_ID": str(host)},
      stderr=subprocess.PIPE,
      text=True,
    )
    for host in range(2)
  ]
  try:
    told = processes[1].communicate(timeout=60)[1]
    assert processes[0].poll() is None
  finally:
    for process in processes:
      process.kill()
  assert processes[1].returncode == code
  assert "told by host 1" in told
  assert told.count("\n") <= lines

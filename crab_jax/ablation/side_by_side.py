"""Processes of one study side by side on a machine, each on its own cores.

A step of a small model hardly gains from a second core; a second run does.
The processes divide the runs as machines do: see `manifest`.
"""

import os
import signal
import subprocess
from collections.abc import Sequence

from crab_jax import errors

# The cores of a process; None: it cannot be bound to some.
Share = set[int] | None


def shares(processes: int) -> list[Share]:
  """This machine's cores, divided: as many for all, to within one.

  Raises:
    UserError: there are fewer cores than processes.
  """
  if not hasattr(os, "sched_getaffinity"):
    return [None] * processes
  cores = sorted(os.sched_getaffinity(0))
  if processes > len(cores):
    raise errors.UserError(
      f"--processes={processes} needs as many cores, and there are {len(cores)}"
    )
  return [set(cores[i::processes]) for i in range(processes)]


def run(command: Sequence[str], cores: Sequence[Share]) -> int:
  """Runs a command once on each share of the cores; waits for all.

  SIGTERM is handed on to them.

  Returns:
    The largest of their exit codes; one that a signal killed counts as 1.
  """
  started: list[subprocess.Popen] = []

  def hand_on(*_):
    for process in started:
      process.terminate()

  before = signal.signal(signal.SIGTERM, hand_on)
  try:
    started.extend(_start(command, share) for share in cores)
    codes = [process.wait() for process in started]
  except BaseException:
    hand_on()  # none outlives this process
    raise
  finally:
    signal.signal(signal.SIGTERM, before)
  return max(1 if code < 0 else code for code in codes)


def _start(command: Sequence[str], share: Share) -> subprocess.Popen:
  if share is None:
    return subprocess.Popen(command)
  own = os.sched_getaffinity(0)
  try:
    os.sched_setaffinity(0, share)  # of this thread: what it starts inherits it
    return subprocess.Popen(command)
  finally:
    os.sched_setaffinity(0, own)

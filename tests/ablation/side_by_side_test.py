"""Processes side by side: each on its cores; codes and signals pass through."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from crab_jax import errors
from crab_jax.ablation import side_by_side

_BOUND = hasattr(os, "sched_getaffinity")
needs_two = pytest.mark.skipif(
  not _BOUND or len(os.sched_getaffinity(0)) < 2, reason="needs two cores"
)


@needs_two
def test_all_cores_are_divided():
  cores = os.sched_getaffinity(0)
  shares = side_by_side.shares(2)
  assert set.union(*shares) == cores
  assert sum(map(len, shares)) == len(cores)
  assert abs(len(shares[0]) - len(shares[1])) <= 1


@pytest.mark.skipif(not _BOUND, reason="processes cannot be bound here")
def test_more_processes_than_cores_are_refused():
  with pytest.raises(errors.UserError, match="--processes=4097"):
    side_by_side.shares(4097)


@needs_two
def test_each_process_has_its_cores_and_this_one_keeps_its_own(tmp_path):
  own = os.sched_getaffinity(0)
  shares = side_by_side.shares(2)
  code = f"""
    import os, pathlib
    path = pathlib.Path({str(tmp_path)!r}) / str(os.getpid())
    path.write_text(repr(os.sched_getaffinity(0)))
  """
  command = [sys.executable, "-c", textwrap.dedent(code)]
  assert side_by_side.run(command, shares) == 0
  found = sorted(path.read_text() for path in tmp_path.iterdir())
  assert found == sorted(repr(share) for share in shares)
  assert os.sched_getaffinity(0) == own


@pytest.mark.parametrize(
  ("end", "code"),
  [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 1)],
)
def test_a_failure_is_passed_on(end, code):
  command = [sys.executable, "-c", f"import os, sys; {end}"]
  assert side_by_side.run(command, [None, None]) == code


def test_sigterm_is_handed_on(tmp_path):
  """The processes end by it, and so does the one that started them."""
  child = f"""
    import os, pathlib, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (pathlib.Path({str(tmp_path)!r}) / str(os.getpid())).touch()
    time.sleep(60)
  """
  parent = f"""
    import sys
    from crab_jax.ablation import side_by_side
    command = [sys.executable, "-c", {textwrap.dedent(child)!r}]
    sys.exit(side_by_side.run(command, [None, None]))
  """
  process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)])
  try:
    end = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2:
      assert time.monotonic() < end, "the processes did not start"
      time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
  finally:
    process.kill()
  for path in tmp_path.iterdir():
    assert not os.path.exists(f"/proc/{path.name}")

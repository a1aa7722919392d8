import os
import signal
import subprocess
import sys
import time

import pytest

from crab_jax.data import worker_pool


def _write_pid(path, tick):
  for _ in range(3):
    tick(1)
  path.write_text(str(os.getpid()))


def _fail(item, tick):
  raise ValueError(f"item {item}")


def _crash(item, tick):
  os.kill(os.getpid(), signal.SIGKILL)


def _sleep(path, tick):
  path.write_text(str(os.getpid()))
  while True:
    tick(1)
    time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_items_are_done(tmp_path, workers):
  paths = [tmp_path / str(n) for n in range(4)]
  worker_pool.run(_write_pid, paths, steps=12, workers=workers, title="x")
  pids = {path.read_text() for path in paths}
  assert (str(os.getpid()) in pids) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_back(workers):
  with pytest.raises(ValueError, match="item"):
    worker_pool.run(_fail, [1, 2], steps=2, workers=workers, title="x")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_noticed(workers):
  with pytest.raises(worker_pool.Died):
    worker_pool.run(
      _crash, [1, 2], steps=2, workers=workers, title="x", apart=True
    )


def _alive(pid):
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  with open(f"/proc/{pid}/stat") as file:
    return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def _wait_for(condition):
  deadline = time.monotonic() + 30
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.05)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, sent):
  paths = [tmp_path / "0", tmp_path / "1"]
  code = (
    "import pathlib, signal, worker_pool_test as t\n"
    # A shell's background job, as a test run may be, ignores SIGINT.
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from crab_jax.data import worker_pool\n"
    "if __name__ == '__main__':\n"
    f"  paths = [pathlib.Path(p) for p in {[str(p) for p in paths]}]\n"
    "  worker_pool.run(t._sleep, paths, steps=9, workers=2, title='x')\n"
  )
  script = tmp_path / "script.py"
  script.write_text(code)
  folders = [os.path.dirname(__file__), *filter(None, sys.path)]
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
  parent = subprocess.Popen(
    [sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL
  )
  _wait_for(lambda: all(p.exists() and p.read_text() for p in paths))
  parent.send_signal(sent)
  assert parent.wait(30) != 0
  pids = [int(path.read_text()) for path in paths]
  _wait_for(lambda: not any(map(_alive, pids)))

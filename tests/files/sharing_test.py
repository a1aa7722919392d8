"""Locks and claims of many processes."""

import multiprocessing
import os
import time

import pytest

from crab_jax import files
from tests.files import writers

_LOCK = """
import pathlib, sys
from crab_jax import files
with files.lock(pathlib.Path(sys.argv[1])):
  print("ready", flush=True)
  input()
"""


def _claim(path, barrier, wins):
  barrier.wait()
  wins.put(files.claim(path, str(os.getpid())))


def test_of_many_claims_one_is_granted(tmp_path):
  context = multiprocessing.get_context("fork")
  barrier, wins = context.Barrier(4), context.Queue()
  processes = [
    context.Process(target=_claim, args=(tmp_path / "claim", barrier, wins))
    for _ in range(4)
  ]
  for process in processes:
    process.start()
  assert sorted(wins.get(timeout=60) for _ in processes) == [0, 0, 0, 1]
  writers.join(processes)
  assert int((tmp_path / "claim").read_text()) in [p.pid for p in processes]


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path):
  path = tmp_path / ".lock"
  process = writers.started(_LOCK, path)
  with pytest.raises(files.Locked), files.lock(path):
    pass
  writers.kill(process)
  with files.lock(path), pytest.raises(files.Locked), files.lock(path):
    pass


def test_a_touched_file_is_young(tmp_path):
  path = tmp_path / "file"
  files.claim(path, "")
  os.utime(path, (0, time.time() - 100))
  assert 99 < files.age(path) < 200
  files.touch(path)
  assert files.age(path) < 50

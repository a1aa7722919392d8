"""One file: kills, full disks, many writers."""

import errno
import multiprocessing
import os
import random
import threading
import time

import pytest

from crab_jax import files
from crab_jax.files import writes
from tests.files import writers

_KILLS = 12
# Writes one of two contents over and over, until it is killed.
_WRITE = """
import itertools, pathlib, sys
from crab_jax import files
path = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for letter in itertools.cycle(b"ab"):
  with files.writing(path) as file:
    for _ in range(100):
      file.write(bytes([letter]) * 2000)
"""


def test_a_kill_leaves_the_file_before_or_after(tmp_path):
  path, delays = tmp_path / "file", random.Random(0)
  for _ in range(_KILLS):
    process = writers.started(_WRITE, path)
    time.sleep(delays.uniform(0.005, 0.05))
    writers.kill(process)
    if path.exists():
      found = path.read_bytes()
      assert found in (b"a" * writers.SIZE, b"b" * writers.SIZE)
  assert path.exists()
  files.write_bytes(path, b"last")
  assert path.read_bytes() == b"last"
  assert writers.names(tmp_path) == ["file"]  # what the kills left is gone


@pytest.mark.parametrize("size", [writers.SIZE, 100_001])
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, small_disk, size):
  path = tmp_path / "file"
  files.write_bytes(path, b"old")
  with pytest.raises(OSError) as failed:
    files.write_bytes(path, b"n" * size)
  assert failed.value.errno == errno.EFBIG
  assert path.read_bytes() == b"old"
  assert writers.names(tmp_path) == ["file"]


def _write_often(path, letter):
  for _ in range(50):
    with files.writing(path) as file:
      for _ in range(20):
        file.write(letter * 10_000)


def test_of_many_writers_one_wins_whole(tmp_path):
  path, context = tmp_path / "file", multiprocessing.get_context("fork")
  processes = [
    context.Process(target=_write_often, args=(path, letter))
    for letter in (b"a", b"b", b"c")
  ]
  for process in processes:
    process.start()
  while any(process.is_alive() for process in processes):
    if path.exists():
      found = path.read_bytes()
      assert found == found[:1] * writers.SIZE
  writers.join(processes)
  assert writers.names(tmp_path) == ["file"]


def test_threads_write_one_file_in_turn(tmp_path):
  threads = [
    threading.Thread(target=_write_often, args=(tmp_path / "file", letter))
    for letter in (b"a", b"b")
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  found = (tmp_path / "file").read_bytes()
  assert found == found[:1] * writers.SIZE


def test_a_disk_without_locks_gives_every_writer_its_name(
  tmp_path, monkeypatch
):
  def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(writes.fcntl, "flock", refuse)
  with files.writing(tmp_path / "file") as one:
    files.write_bytes(tmp_path / "file", b"other")
    one.write(b"one")
  assert (tmp_path / "file").read_bytes() == b"one"
  assert writers.names(tmp_path) == ["file"]


def test_what_is_synced_is_on_the_disk_before_it_has_its_name(
  tmp_path, monkeypatch
):
  path, order = tmp_path / "file", []
  replace, sync = os.replace, os.fsync
  monkeypatch.setattr(
    os, "fsync", lambda fd: (order.append(os.fstat(fd).st_size), sync(fd))
  )
  monkeypatch.setattr(
    os, "replace", lambda *names: (order.append("name"), replace(*names))
  )
  files.write_json(path, {"a": 1}, sync=True)
  assert order == [path.stat().st_size, "name"]

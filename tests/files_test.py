"""What is found under its name is complete: kills, full disks, many writers."""

import errno
import json
import multiprocessing
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import hypothesis
import numpy as np
import pytest
from etils import epath
from hypothesis import strategies as st

from crab_jax import errors
from crab_jax import files

_KILLS = 12
_SIZE = 200_000  # bytes of what is written again and again

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
_REPLACE = """
import itertools, pathlib, sys
from crab_jax import files
path = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for letter in itertools.cycle("ab"):
  with files.new_folder(path) as new:
    for name in "123":
      (new / name).write_text(letter)
"""
_LOCK = """
import pathlib, sys
from crab_jax import files
with files.lock(pathlib.Path(sys.argv[1])):
  print("ready", flush=True)
  input()
"""


def _started(program, path):
  process = subprocess.Popen(
    [sys.executable, "-c", program, str(path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"ready\n"
  return process


def _kill(process):
  process.send_signal(signal.SIGKILL)
  process.communicate()


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_kill_leaves_the_file_before_or_after(tmp_path):
  path, delays = tmp_path / "file", random.Random(0)
  for _ in range(_KILLS):
    process = _started(_WRITE, path)
    time.sleep(delays.uniform(0.005, 0.05))
    _kill(process)
    if path.exists():
      found = path.read_bytes()
      assert found in (b"a" * _SIZE, b"b" * _SIZE)
  assert path.exists()
  files.write_bytes(path, b"last")
  assert path.read_bytes() == b"last"
  assert _names(tmp_path) == ["file"]  # what the kills left is gone


def test_a_kill_leaves_a_whole_folder(tmp_path):
  folder, delays = tmp_path / "folder", random.Random(1)
  for _ in range(_KILLS):
    process = _started(_REPLACE, folder)
    time.sleep(delays.uniform(0.005, 0.03))
    _kill(process)
    if folder.exists():
      found = {path.name: path.read_text() for path in folder.iterdir()}
      assert sorted(found) == ["1", "2", "3"]
      assert len(set(found.values())) == 1
  assert folder.exists()
  with files.new_folder(folder) as new:
    (new / "last").touch()
  assert _names(tmp_path) == ["folder"]
  assert _names(folder) == ["last"]


def test_a_reader_finds_the_folder_at_every_moment(tmp_path):
  folder = tmp_path / "folder"
  with files.new_folder(folder) as new:
    (new / "1").write_text("a")
  process = _started(_REPLACE, folder)
  end = time.monotonic() + 1
  try:
    seen = set()
    while time.monotonic() < end:
      seen.add((folder / "1").read_text())  # would raise
    assert seen == {"a", "b"}
  finally:
    _kill(process)


def test_without_an_exchange_of_names_a_stop_loses_nothing(
  tmp_path, monkeypatch
):
  folder, new, rename = tmp_path / "model", tmp_path / "new", os.rename
  for path in (folder, new):
    path.mkdir()
    (path / "params").write_text(path.name)

  def stopped(path, target):
    if target == folder:
      raise KeyboardInterrupt
    rename(path, target)

  monkeypatch.setattr(files, "_exchange", lambda *_: False)
  with monkeypatch.context() as patch:
    patch.setattr(os, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
      files.replace_folder(new, folder)
  assert (tmp_path / "model.replaced/params").read_text() == "model"
  assert (new / "params").read_text() == "new"
  files.replace_folder(new, folder)
  assert _names(tmp_path) == ["model"]
  assert (folder / "params").read_text() == "new"


def test_an_error_while_a_folder_is_filled_leaves_the_one_before(tmp_path):
  folder = tmp_path / "folder"
  with files.new_folder(folder) as new:
    (new / "old").touch()
  with pytest.raises(OSError, match="full"), files.new_folder(folder):
    raise OSError("full")
  assert _names(tmp_path) == ["folder"]
  assert _names(folder) == ["old"]


@pytest.fixture
def small_disk():
  """No file may grow beyond 100 kB: what a full disk does."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("size", [_SIZE, 100_001])
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, small_disk, size):
  path = tmp_path / "file"
  files.write_bytes(path, b"old")
  with pytest.raises(OSError) as failed:
    files.write_bytes(path, b"n" * size)
  assert failed.value.errno == errno.EFBIG
  assert path.read_bytes() == b"old"
  assert _names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_files_that_belong_together(
  tmp_path, small_disk
):
  files.write_together(tmp_path, {"all": b"1", "plots/a": b"2"}, last="all")
  with pytest.raises(OSError):
    files.write_together(
      tmp_path, {"all": b"3", "plots/a": b"4" * _SIZE}, last="all"
    )
  assert (tmp_path / "all").read_bytes() == b"1"
  assert (tmp_path / "plots/a").read_bytes() == b"2"
  assert _names(tmp_path) == ["all", "plots"]


def test_the_last_file_stands_for_the_others(tmp_path, monkeypatch):
  files.write_together(tmp_path, {"all": b"1", "a": b"1"}, last="all")
  replace = os.replace

  def stopped(path, target):
    if target.name == "all":
      raise KeyboardInterrupt
    replace(path, target)

  monkeypatch.setattr(os, "replace", stopped)
  with pytest.raises(KeyboardInterrupt):
    files.write_together(tmp_path, {"all": b"2", "a": b"2"}, last="all")
  assert _names(tmp_path) == ["a"]
  assert (tmp_path / "a").read_bytes() == b"2"


def _write_often(path, letter):
  for _ in range(50):
    with files.writing(path) as file:
      for _ in range(20):
        file.write(letter * 10_000)


def _join(processes):
  for process in processes:
    process.join(60)
    assert process.exitcode == 0


def test_of_many_writers_one_wins_whole(tmp_path):
  path, context = tmp_path / "file", multiprocessing.get_context("fork")
  writers = [
    context.Process(target=_write_often, args=(path, letter))
    for letter in (b"a", b"b", b"c")
  ]
  for writer in writers:
    writer.start()
  while any(writer.is_alive() for writer in writers):
    if path.exists():
      found = path.read_bytes()
      assert found == found[:1] * _SIZE
  _join(writers)
  assert _names(tmp_path) == ["file"]


def test_a_disk_without_locks_gives_every_writer_its_name(
  tmp_path, monkeypatch
):
  def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(files.fcntl, "flock", refuse)
  with files.writing(tmp_path / "file") as one:
    files.write_bytes(tmp_path / "file", b"other")
    one.write(b"one")
  assert (tmp_path / "file").read_bytes() == b"one"
  assert _names(tmp_path) == ["file"]


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
  _join(processes)
  assert int((tmp_path / "claim").read_text()) in [p.pid for p in processes]


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path):
  path = tmp_path / ".lock"
  process = _started(_LOCK, path)
  with pytest.raises(files.Locked), files.lock(path):
    pass
  _kill(process)
  with files.lock(path), pytest.raises(files.Locked), files.lock(path):
    pass


def test_a_touched_file_is_young(tmp_path):
  path = tmp_path / "file"
  files.claim(path, "")
  os.utime(path, (0, time.time() - 100))
  assert 99 < files.age(path) < 200
  files.touch(path)
  assert files.age(path) < 50


def test_a_growing_file_goes_on_where_it_was(tmp_path):
  path = tmp_path / "file"
  first = files.Growing(path)
  first.write(b"whole, cut o")
  assert files.part_of(path).read_bytes() == b"whole, cut o"  # no close needed
  assert not path.exists()
  second = files.Growing(path, keep=7)
  second.write(b"and more")
  second.close()
  third = files.Growing(path)
  third.sync()
  third.finish()
  assert path.read_bytes() == b"whole, and more"
  assert _names(tmp_path) == ["file"]


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
  assert found == found[:1] * _SIZE


def test_json_is_strict_and_complete(tmp_path):
  path = tmp_path / "file.json"
  files.write_json(path, {"é": "\ud800", "n": 1})
  assert path.read_text() == '{\n "é": "\\ud800",\n "n": 1\n}\n'
  assert json.loads(path.read_bytes()) == {"é": "\ud800", "n": 1}
  files.write_json_lines(path, [{"n": 1}, "–"])
  assert path.read_text() == '{"n": 1}\n"–"\n'


_UNDEFINED = [float("nan"), float("inf"), -float("inf"), np.float32("nan")]
_VALUES = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.text()
  | st.floats()
  | st.sampled_from([*_UNDEFINED, np.float32(0.5), np.int64(2)]),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@hypothesis.given(_VALUES)
def test_every_json_is_strict_and_undefined_numbers_are_null(value):
  def refuse(word):
    raise AssertionError(word)

  def expected(value):
    if isinstance(value, dict):
      return {name: expected(item) for name, item in value.items()}
    if isinstance(value, list):
      return [expected(item) for item in value]
    if isinstance(value, float | np.number):
      return float(value) if np.isfinite(value) else None
    return value

  for data in (files.json_document(value), files.json_line(value)):
    # A lone surrogate cannot be read as UTF-8: it stands there escaped.
    assert json.loads(data, parse_constant=refuse) == expected(value)


def test_what_is_no_json_is_refused():
  with pytest.raises(TypeError):
    files.json_line({"n": object()})


def test_folders_are_listed_in_order(tmp_path):
  for name in ("b.txt", "a.txt", ".hidden.txt", "c.md", "deep/er/d.txt"):
    files.make_folder((tmp_path / name).parent)
    files.append(tmp_path / name, b"x")
  assert files.listing(tmp_path / "none") == []
  found = files.listing(tmp_path, "*.txt")
  assert [p.name for p in found] == [".hidden.txt", "a.txt", "b.txt"]
  found = files.find(tmp_path, "*.txt")
  assert [str(p.relative_to(tmp_path)) for p in found][-1] == "deep/er/d.txt"
  assert len(found) == 4


def test_files_and_folders_are_removed(tmp_path):
  files.make_folder(tmp_path / "a/b")
  (tmp_path / "link").symlink_to(tmp_path / "a")
  for name in ("link", "a", "none"):
    files.remove(tmp_path / name)
    assert (tmp_path / "a").exists() == (name == "link")
  assert _names(tmp_path) == []


@pytest.mark.parametrize("kind", [pathlib.Path, epath.Path])
def test_both_kinds_of_paths_do(tmp_path, kind):
  root = kind(tmp_path)
  with files.new_folder(root / "folder") as new:
    files.write_text(new / "a", "–")
    files.copy(new / "a", new / "b")
    files.link(new / "a", new / "c")
  found = files.listing(root / "folder")
  assert [type(path) for path in found] == [type(root)] * 3
  assert [path.read_text() for path in found] == ["–"] * 3
  assert [files.size(path) for path in found] == [3] * 3
  assert files.find(root, "b") == [root / "folder/b"]
  assert files.stamp(found[0]) == files.stamp(found[2])
  assert files.stamp(root / "none") is None
  with files.Ranges(found[0]) as ranges:
    assert ranges.read(1, 9) == "–".encode()[1:]
  growing = files.Growing(root / "d")
  growing.finish()
  assert (root / "d").exists()


def test_a_path_of_the_working_directory(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert files.absolute(files.path("a/../b")) == tmp_path / "b"
  assert files.path("a") / "b" == pathlib.Path("a/b")


def test_other_services_are_refused():
  with pytest.raises(errors.UserError, match="s3://a/b: of remote folders"):
    files.path("s3://a/b")

"""Folders, and files that belong together: kills, full disks, stops."""

import os
import random
import time

import pytest

from crab_jax import files
from crab_jax.files import folders
from tests.files import writers

_KILLS = 12
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


def test_a_kill_leaves_a_whole_folder(tmp_path):
  folder, delays = tmp_path / "folder", random.Random(1)
  for _ in range(_KILLS):
    process = writers.started(_REPLACE, folder)
    time.sleep(delays.uniform(0.005, 0.03))
    writers.kill(process)
    if folder.exists():
      found = {path.name: path.read_text() for path in folder.iterdir()}
      assert sorted(found) == ["1", "2", "3"]
      assert len(set(found.values())) == 1
  assert folder.exists()
  with files.new_folder(folder) as new:
    (new / "last").touch()
  assert writers.names(tmp_path) == ["folder"]
  assert writers.names(folder) == ["last"]


def test_a_reader_finds_the_folder_at_every_moment(tmp_path):
  folder = tmp_path / "folder"
  with files.new_folder(folder) as new:
    (new / "1").write_text("a")
  process = writers.started(_REPLACE, folder)
  end = time.monotonic() + 1
  try:
    seen = set()
    while time.monotonic() < end:
      seen.add((folder / "1").read_text())  # would raise
    assert seen == {"a", "b"}
  finally:
    writers.kill(process)


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

  monkeypatch.setattr(folders, "_exchange", lambda *_: False)
  with monkeypatch.context() as patch:
    patch.setattr(os, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
      files.replace_folder(new, folder)
  assert (tmp_path / "model.replaced/params").read_text() == "model"
  assert (new / "params").read_text() == "new"
  files.replace_folder(new, folder)
  assert writers.names(tmp_path) == ["model"]
  assert (folder / "params").read_text() == "new"


def test_an_error_while_a_folder_is_filled_leaves_the_one_before(tmp_path):
  folder = tmp_path / "folder"
  with files.new_folder(folder) as new:
    (new / "old").touch()
  with pytest.raises(OSError, match="full"), files.new_folder(folder):
    raise OSError("full")
  assert writers.names(tmp_path) == ["folder"]
  assert writers.names(folder) == ["old"]


def test_a_full_disk_leaves_the_files_that_belong_together(
  tmp_path, small_disk
):
  files.write_together(tmp_path, {"all": b"1", "plots/a": b"2"}, last="all")
  with pytest.raises(OSError):
    files.write_together(
      tmp_path, {"all": b"3", "plots/a": b"4" * writers.SIZE}, last="all"
    )
  assert (tmp_path / "all").read_bytes() == b"1"
  assert (tmp_path / "plots/a").read_bytes() == b"2"
  assert writers.names(tmp_path) == ["all", "plots"]


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
  assert writers.names(tmp_path) == ["a"]
  assert (tmp_path / "a").read_bytes() == b"2"


def test_files_and_folders_are_removed(tmp_path):
  files.make_folder(tmp_path / "a/b")
  (tmp_path / "link").symlink_to(tmp_path / "a")
  for name in ("link", "a", "none"):
    files.remove(tmp_path / name)
    assert (tmp_path / "a").exists() == (name == "link")
  assert writers.names(tmp_path) == []

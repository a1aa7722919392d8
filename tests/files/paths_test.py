"""Paths of both kinds, listed and refused."""

import pathlib

import pytest
from etils import epath

from crab_jax import errors
from crab_jax import files


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

"""Answers and their pictures: all of them, or what was there before."""

import errno
import json
import pathlib

import pytest

from crab_jax.evaluation import answer_files


def _content(out):
  return {path.name: path.read_bytes() for path in out.iterdir()}


def test_what_is_written(tmp_path):
  out = tmp_path / "new" / "out"
  answer_files.write(out, {"ave.jpg": b"picture"}, [{"text": "a–b"}])
  found = _content(out)
  assert set(found) == {"answers.json", "ave.jpg"}
  assert json.loads(found["answers.json"]) == [{"text": "a–b"}]


@pytest.mark.parametrize("full_at", ["ave.jpg", "answers.json"])
def test_a_full_disk_leaves_the_answers_that_were_there(
  tmp_path, monkeypatch, full_at
):
  answer_files.write(tmp_path, {"ave.jpg": b"old"}, [{"text": "old"}])
  before = _content(tmp_path)
  write_bytes = pathlib.Path.write_bytes

  def full(path, data):
    if path.name == full_at:
      write_bytes(path, data[:1])
      raise OSError(errno.ENOSPC, "No space left on device")
    return write_bytes(path, data)

  monkeypatch.setattr(pathlib.Path, "write_bytes", full)
  with pytest.raises(OSError, match="No space left"):
    answer_files.write(tmp_path, {"ave.jpg": b"new"}, [{"text": "new"}])
  assert _content(tmp_path) == before

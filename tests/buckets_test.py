"""Files of a bucket, against a server of buckets on this machine."""

import json
import pathlib

import pytest
from etils import epath

from crab_jax import buckets
from crab_jax import errors
from crab_jax import files
from tests import bucket_server


@pytest.fixture
def folder(bucket_folder):
  return bucket_folder


def test_a_path_of_a_bucket_is_one(folder):
  assert isinstance(folder, epath.Path)
  assert files.absolute(folder / "a") == folder / "a"
  assert str(folder / "a" / "b").startswith("gs://")


def test_files_are_written_read_and_removed(folder):
  files.write_text(folder / "a.txt", "one")
  files.write_json(folder / "below" / "b.json", {"x": 1})
  with files.writing(folder / "c") as file:
    file.write(b"12345")
  assert (folder / "a.txt").read_text() == "one"
  assert [path.name for path in files.listing(folder)] == [
    "a.txt",
    "below",
    "c",
  ]
  assert files.listing(folder, "*.txt") == [folder / "a.txt"]
  assert files.listing(folder / "nothing") == []
  assert files.find(folder, "*.json") == [folder / "below/b.json"]
  assert files.sizes(folder, "?") == {folder / "c": 5}
  assert files.size(folder / "c") == 5
  with files.Ranges(folder / "c") as ranges:
    assert ranges.read(1, 3) == b"234"
    assert ranges.read(3, 9) == b"45"
  files.copy(folder / "c", folder / "d")
  with files.reading(folder / "d") as file:
    assert file.read(2) == b"12"
  assert files.stamp(folder / "d") != files.stamp(folder / "a.txt")
  assert files.stamp(folder / "none") is None
  files.remove(folder / "a.txt")
  files.remove(folder / "a.txt")  # it need not be there
  files.remove(folder / "below")
  assert [path.name for path in files.listing(folder)] == ["c", "d"]


def test_an_error_leaves_no_object(folder):
  with (
    pytest.raises(OSError, match="full"),
    files.writing(folder / "a") as file,
  ):
    file.write(b"half")
    raise OSError("full")
  assert files.listing(folder) == []


def test_a_log_keeps_every_line(folder, bucket):
  bucket.failing = 5
  for number in range(12):
    files.append(folder / "log", b"%d\n" % number)
  bucket.failing = 0
  assert (folder / "log").read_text().split() == [str(n) for n in range(12)]
  assert files.listing(folder) == [folder / "log"]


def test_of_two_claims_one_is_granted(folder):
  assert files.claim(folder / "a", "one")
  assert not files.claim(folder / "a", "two")
  assert (folder / "a").read_text() == "one"
  assert files.age(folder / "a") < 60
  before = files.stamp(folder / "a")
  files.touch(folder / "a")
  assert files.stamp(folder / "a") != before


def test_a_folder_is_known_by_its_last_file(folder):
  for content in ("one", "two"):
    with files.new_folder(folder / "model", "last.json") as new:
      for name in ("a", "last.json", "z"):
        (new / name).write_text(content)
      if content == "two":
        assert (folder / "model/last.json").read_text() == "one"
    found = {p.name: p.read_text() for p in files.listing(folder / "model")}
    assert found == dict.fromkeys(("a", "last.json", "z"), content)


def test_a_folder_cut_off_is_not_whole(folder, monkeypatch):
  with files.new_folder(folder / "model", "last") as new:
    for name in ("a", "last", "z"):
      (new / name).write_text("one")

  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(buckets, "upload_folder", stop)
  with (
    pytest.raises(KeyboardInterrupt),
    files.new_folder(folder / "model", "last") as new,
  ):
    (new / "last").write_text("two")
  assert not (folder / "model/last").exists()


def test_a_growing_file_goes_on_on_the_local_disk(
  folder, tmp_path, monkeypatch
):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  first = files.Growing(folder / "a")
  first.write(b"one")
  first.close()
  assert files.listing(folder) == []
  second = files.Growing(folder / "a", keep=2)
  second.write(b"two")
  second.finish()
  assert (folder / "a").read_bytes() == b"ontwo"
  assert not files.part_of(folder / "a").exists()


def test_copies_lie_on_the_disk_with_their_ending(folder):
  for name in ("a.mp4", "b.mp4", "c.mp4"):
    files.write_text(folder / name, name)
  copies = files.Copies(keep=2)
  for name in ("a.mp4", "b.mp4", "c.mp4"):
    local = copies(folder / name)
    assert pathlib.Path(local).read_text() == name
    assert local.suffix == ".mp4"
  assert copies(folder / "missing.mp4") == folder / "missing.mp4"
  with files.local_folder(folder) as local:
    assert sorted(path.name for path in pathlib.Path(local).iterdir()) == [
      "a.mp4",
      "b.mp4",
      "c.mp4",
    ]


def test_what_a_bucket_refuses_is_one_line(bucket, folder):
  with pytest.raises(errors.UserError, match="no such bucket"):
    files.path("gs://another-bucket/run")
  with pytest.raises(errors.UserError, match="name of a bucket"):
    files.path("gs://")
  bucket.forbidden = True
  try:
    for call in (
      lambda: files.write_text(folder / "a", "b"),
      lambda: files.listing(folder),
      lambda: buckets.check.__wrapped__(bucket_server.BUCKET),
    ):
      with pytest.raises(errors.UserError, match="not allowed") as found:
        call()
      assert "\n" not in str(found.value)
  finally:
    bucket.forbidden = False


def test_json_lines_survive_a_server_that_fails(bucket, folder):
  rows = [{"id": number} for number in range(5)]
  bucket.failing = 2
  try:
    files.write_json_lines(folder / "rows.jsonl", rows)
    text = (folder / "rows.jsonl").read_text()
  finally:
    bucket.failing = 0
  assert [json.loads(line) for line in text.splitlines()] == rows
  assert bucket.failed[503] + bucket.failed[429]

"""What is read of a disk; of a bucket it is tests/buckets_test.py that reads."""

import concurrent.futures

from crab_jax import files


def test_threads_read_pieces_of_one_file(tmp_path):
  path = tmp_path / "file"
  files.write_bytes(path, bytes(range(250)) * 4)
  with (
    files.Ranges(path) as ranges,
    concurrent.futures.ThreadPoolExecutor(4) as pool,
  ):
    found = pool.map(lambda start: ranges.read(start, 10), range(0, 1010, 10))
    assert b"".join(found) == files.read_bytes(path)


def test_what_lies_on_the_disk_is_not_copied(tmp_path):
  files.write_bytes(tmp_path / "a.bin", b"a")
  assert files.Copies()(tmp_path / "a.bin") == tmp_path / "a.bin"
  assert files.Copies()(tmp_path / "none") == tmp_path / "none"
  with files.local_folder(tmp_path) as folder:
    assert folder == tmp_path
  with files.reading(tmp_path / "a.bin") as file:
    assert file.read() == b"a"


def test_a_folder_has_a_name_for_tensorstore(tmp_path):
  assert files.store(tmp_path) == {"driver": "file", "path": f"{tmp_path}/"}

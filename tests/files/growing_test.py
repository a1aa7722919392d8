"""A file that goes on where it was."""

from crab_jax import files
from tests.files import writers


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
  assert writers.names(tmp_path) == ["file"]

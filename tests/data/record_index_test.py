"""The index beside a TFRecord file, and what it is good for."""

import numpy as np
import pytest

from crab_jax import errors
from crab_jax.data import record_index
from crab_jax.data import sources
from crab_jax.data import tfrecord

_ITEMS = [b"one", b"", b"three" * 50]


@pytest.fixture
def shard(tmp_path):
  path = tmp_path / "a.tfrecord-00000-of-00001"
  tfrecord.write(path, _ITEMS)
  return path


def test_it_says_what_a_pass_over_the_file_finds(shard):
  begins, size = sources.offsets(shard), shard.stat().st_size
  record_index.write(shard, begins.tolist(), size)
  np.testing.assert_array_equal(record_index.read(shard, size), [*begins, size])


def test_a_file_without_records_has_one(tmp_path):
  path = tmp_path / "a.tfrecord-00000-of-00001"
  record_index.write(path, [], 0)
  np.testing.assert_array_equal(record_index.read(path, 0), [0])


@pytest.mark.parametrize(
  "damage",
  [
    lambda data: data[:-3],
    lambda data: b"",
    lambda data: data[8:],
    lambda data: data[:-8],
    lambda data: data[:8] + data[:8] + data[16:],
  ],
)
def test_a_damaged_index_is_named(shard, damage):
  size = shard.stat().st_size
  record_index.write(shard, sources.offsets(shard).tolist(), size)
  path = record_index.path_of(shard)
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(errors.UserError, match="a.tfrecord-00000-of-00001"):
    record_index.read(shard, size)

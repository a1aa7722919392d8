"""Random access to records, and what damage does."""

import pickle

import pytest

from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import sources
from tests.data import clips
from tests.data import small_records


@pytest.fixture
def root(tmp_path):
  found = [small_records.record("s4", row) for row in range(10)]
  found += [small_records.record("arig", row) for row in range(3)]
  found += [small_records.record("arig", 0, "val")]
  small_records.write(tmp_path, found)
  return tmp_path


def test_any_order_gives_the_records(root):
  source = sources.RecordSource(root, "s4", "train")
  assert len(source) == 10
  straight = list(records.read_split(root, "s4", "train"))
  for index in (9, 0, 4, 3, 8, 7):
    assert source[index] == straight[index]
  again = pickle.loads(pickle.dumps(source))
  assert again[5] == straight[5]
  for index in (-1, 10):
    with pytest.raises(IndexError):
      source[index]


def test_a_flipped_byte_is_a_failed_sample(root):
  path = records.shards(root, "s4", "train")[1]
  at = int(sources.offsets(path)[2])
  clips.flip(path, at + 500)
  source = sources.RecordSource(root, "s4", "train")
  with pytest.raises(samples.SampleError, match=f"{path} at byte {at}: wrong"):
    source[6]
  assert source[5].row == 5 and source[7].row == 7


def test_a_damaged_length_or_a_cut_file_is_an_error_at_once(root):
  path = records.shards(root, "s4", "train")[0]
  whole = path.read_bytes()
  clips.flip(path, int(sources.offsets(path)[1]))
  with pytest.raises(errors.UserError, match=f"{path}: damaged at byte"):
    sources.RecordSource(root, "s4", "train")
  path.write_bytes(whole[:-20])
  with pytest.raises(errors.UserError, match=f"{path}: cut short at byte"):
    sources.RecordSource(root, "s4", "train")


def test_open_mixture(root):
  assert list(sources.open_mixture(prepared_records.read(root), "train")) == [
    "s4",
    "arig",
  ]
  assert list(sources.open_mixture(prepared_records.read(root), "val")) == [
    "arig"
  ]
  chosen = sources.open_mixture(
    prepared_records.read(root), "train", {"arig": 2.0, "s4": 0.0}
  )
  assert {name: len(source) for name, source in chosen.items()} == {"arig": 3}


@pytest.mark.parametrize(
  ("mixture", "message"),
  [
    ({"s5": 1.0}, "the mixture: unknown s5"),
    ({"s4": -1.0}, "s4 a weight below 0"),
    ({"ks": 1.0}, "no train records of ks"),
    ({"s4": 0.0}, "no train records of the mixture"),
  ],
)
def test_wrong_mixtures(root, mixture, message):
  with pytest.raises(errors.UserError, match=message):
    sources.open_mixture(prepared_records.read(root), "train", mixture)


def test_a_missing_shard_is_noticed(root):
  records.shards(root, "s4", "train")[-1].unlink()
  with pytest.raises(errors.UserError, match="8 records of train.*says 10"):
    sources.open_mixture(prepared_records.read(root), "train")


def test_an_unfinished_preparation_is_refused(root):
  (root / records.SUMMARY).unlink()
  with pytest.raises(errors.UserError, match="no finished preparation"):
    sources.open_mixture(prepared_records.read(root), "train")

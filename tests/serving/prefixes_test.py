"""Which prompts begin alike, and what is kept of them."""

import jax
import numpy as np
import pytest

from crab_jax.paradigms import slots
from crab_jax.serving import prefixes
from tests.serving import small


def test_a_beginning_ends_with_the_media():
  sample = small.sample(3)
  size = prefixes.length(sample)
  assert sample["kinds"][size - 1] != 1
  assert np.all(sample["kinds"][size:] == 1)
  assert prefixes.length(dict(sample, kinds=np.ones(9, np.uint8))) == 0


def test_questions_about_one_clip_have_one_key():
  keys = {prefixes.key_of(small.sample(n, clip=1), False) for n in range(4)}
  assert len(keys) == 1


@pytest.mark.parametrize(
  "name", ["tokens", "positions", "frames", "mel", "mel_lengths"]
)
def test_whatever_the_keys_depend_on_is_in_the_hash(name):
  sample = small.sample(0)
  other = dict(sample, **{name: sample[name].copy()})
  other[name].flat[0] += 1
  assert prefixes.key_of(sample, False) != prefixes.key_of(other, False)


def test_the_task_counts_only_where_the_model_reads_it():
  sample = small.sample(0)
  other = dict(sample, task=1)
  assert prefixes.key_of(sample, False) == prefixes.key_of(other, False)
  assert prefixes.key_of(sample, True) != prefixes.key_of(other, True)


def _piece(size=100):
  return slots.Piece((), np.zeros((1, size), bool))


def test_reserved_memory_goes_before_any_piece(monkeypatch):
  monkeypatch.setattr(prefixes, "_BLOCK_BYTES", 60)
  made = prefixes.Prefixes(250)
  made.reserve(None)
  assert made.reserved == 4 * 62
  for key, left in ((b"a", 124), (b"b", 0), (b"c", 0)):
    made.put(key, _piece())
    assert made.reserved == left
    assert made.size + made.reserved <= 250
  assert made.get(b"b") is not None and made.get(b"a") is None


def test_reserved_memory_is_spread_over_the_devices():
  mesh = jax.sharding.Mesh(
    np.array(jax.devices()[:4]).reshape(2, 2), ("a", "b")
  )
  made = prefixes.Prefixes(250)
  made.reserve(mesh)
  (block,) = made._blocks
  assert [part.data.shape for part in block.addressable_shards] == [(62,)] * 4
  assert np.all(np.asarray(block))  # written to, or no page of it is taken


def test_the_least_used_go_first_and_the_limit_holds():
  made = prefixes.Prefixes(250)
  made.put(b"a", _piece())
  made.put(b"b", _piece())
  assert made.get(b"a") is not None
  made.put(b"c", _piece())  # b goes
  assert [made.get(key) is None for key in (b"a", b"b", b"c")] == [
    False,
    True,
    False,
  ]
  made.put(b"d", _piece(251))  # never fits, and costs nobody else
  assert made.get(b"d") is None
  assert (len(made), made.size) == (2, 200)

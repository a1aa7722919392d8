"""What the tests of the loader read, and how they read it."""

import dataclasses

import numpy as np

from crab_jax import configs
from tests.data import small_records

ROWS = configs.Rows(
  rows=2,
  tokens=256,
  frame_pairs=8,
  chunks=8,
  supervised=128,
  samples=6,
  waiting=5,
)
SIZES = {"s4": 32, "arig": 16, "meld": 8}
# Without the shuffle of the mixture an epoch is a whole one.
PLAIN = dataclasses.replace(small_records.DATA, shuffle_window=1)
FOUND = [
  small_records.record(name, row)
  for name, size in SIZES.items()
  for row in range(size)
]
VAL = [small_records.record("arig", row, "val") for row in range(5)]


def ids(batches) -> list[tuple[int, int]]:
  """(number of the task, row) of every sample, in order."""
  pairs = [batch["sample_ids"].reshape(-1, 2) for batch in batches]
  return [(int(t), int(r)) for t, r in np.concatenate(pairs) if t >= 0]


def take(loader, count: int) -> list:
  """The next batches."""
  return [next(loader) for _ in range(count)]


def assert_equal(left, right) -> None:
  """Batches are equal in every array."""
  for a, b in zip(left, right, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key], err_msg=key)

"""Splits by group."""

import collections

import numpy as np
import pytest

from crab_jax import errors
from crab_jax.annotation import splits


def test_no_group_and_no_file_is_divided():
  """Whatever the rows: all that are connected are in one split."""
  rng = np.random.default_rng(0)
  for _ in range(200):
    count = int(rng.integers(1, 40))
    members = {
      f"row{i}": [f"g{rng.integers(15)}", f"m{rng.integers(20)}"][
        : rng.integers(3)
      ]
      for i in range(count)
    }
    belongs = splits.components(members)
    given = {
      row: ["", "", "train", "test"][hash(belongs[row]) % 4] for row in members
    }
    found = splits.assign(
      given, belongs, {"train": 0.6, "val": 0.2, "test": 0.2}
    )
    assert set(found) == set(members)
    for name in {name for names in members.values() for name in names}:
      rows = [row for row, names in members.items() if name in names]
      assert len({found[row] for row in rows}) == 1
    assert not splits.overlaps(found, belongs)
    assert all(found[row] == split for row, split in given.items() if split)


def test_shares_are_kept_and_small_splits_get_theirs():
  members = {f"row{i}": [f"g{i // 2}"] for i in range(200)}
  belongs = splits.components(members)
  given = dict.fromkeys(members, "")
  found = splits.assign(given, belongs, splits.shares("80,10,10"))
  assert collections.Counter(found.values()) == {
    "train": 160, "val": 20, "test": 20,
  }  # fmt: skip
  twenty = {row: members[row] for row in list(members)[:20]}
  belongs = splits.components(twenty)
  found = splits.assign(
    dict.fromkeys(twenty, ""), belongs, splits.shares("80,10,10")
  )
  assert set(found.values()) == {"train", "val", "test"}


def test_the_order_of_rows_is_no_matter():
  members = {f"row{i}": [f"g{i % 7}"] for i in range(50)}
  turned = dict(reversed(members.items()))
  one, other = (
    splits.assign(
      dict.fromkeys(m, ""), splits.components(m), splits.shares("70,30")
    )
    for m in (members, turned)
  )
  assert one == other


def test_a_given_split_holds_for_all_that_belong_together():
  members = {"a": ["speaker"], "b": ["speaker", "file"], "c": ["file"]}
  belongs = splits.components(members)
  given = {"a": "test", "b": "", "c": ""}
  assert set(splits.assign(given, belongs, {"train": 1.0}).values()) == {"test"}
  assert splits.overlaps({"a": "test", "b": "", "c": "train"}, belongs) == [
    ("a", "c")
  ]


@pytest.mark.parametrize("text", ["", "80;20", "1,2,3,4", "0,0", "-1,2"])
def test_shares_that_are_none(text):
  with pytest.raises(errors.UserError, match="--split"):
    splits.shares(text)

"""Batches of prompts: rows, shapes, failures."""

import numpy as np
import pytest

from crab_jax.data import prompt_batches
from crab_jax.data import samples
from crab_jax.data import tasks
from tests.data import small_loader
from tests.data import small_records


@pytest.fixture(scope="module")
def maker(small_tokenizer) -> samples.SampleMaker:
  return samples.sample_maker(
    small_tokenizer, small_records.DATA, small_records.MODEL, tasks.Tasks()
  )


def test_prompt_batches(maker):
  chosen = small_loader.FOUND[::2]
  found = list(prompt_batches.batches(chosen, maker, 5))
  seen, shapes, lengths = [], set(), []
  for some, batch, failed in found:
    assert not failed
    seen += [record.id for record in some]
    shapes.add((batch["tokens"].shape, batch["frames"].shape[1]))
    used = (batch["segments"] > 0).sum(axis=1)
    lengths += used[: len(some)].tolist()
    assert not used[len(some) :].any()
    for record, row in zip(some, range(5), strict=False):
      expected = maker.prompt(record)
      length = len(expected["tokens"])
      assert used[row] == length
      np.testing.assert_array_equal(
        batch["tokens"][row, :length], expected["tokens"]
      )
      np.testing.assert_array_equal(
        batch["positions"][row, :length], expected["positions"]
      )
      pairs = len(expected["frames"])
      np.testing.assert_array_equal(
        batch["frames"][row, :pairs], expected["frames"]
      )
    assert not batch["weights"].any()
  assert sorted(seen) == sorted(record.id for record in chosen)
  assert lengths == sorted(lengths)
  assert len(shapes) <= 2
  assert len(found) == 6 and len(found[-1][0]) == 3


def test_failed_prompts_are_reported_not_dropped(maker):
  chosen = [
    small_records.record("s4", 0),
    small_records.record("s4", 1, audio=b"noise"),
    small_records.record("s4", 2, frames=[b"noise"]),
  ]
  found = list(prompt_batches.batches(chosen, maker, 4))
  failed = {
    record.id: reason for _, _, rows in found for record, reason in rows
  }
  assert failed == {"s4/train/1": "bad_audio", "s4/train/2": "bad_image"}
  answered = [record.id for some, batch, _ in found for record in some]
  assert answered == ["s4/train/0"]
  assert list(prompt_batches.batches(chosen[1:], maker, 4))[-1][:2] == (
    [],
    None,
  )
  assert list(prompt_batches.batches([], maker, 4)) == []

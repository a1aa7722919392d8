"""The pipeline: shapes, seeds, epochs, mixtures, hosts."""

import collections
import dataclasses

import pytest

from crab_jax import batch as batch_lib
from crab_jax import errors
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from tests.data import small_loader
from tests.data import small_records


def test_batches_have_the_documented_shape(make_loader, small_tokenizer):
  batch = next(make_loader())
  empty = batch_lib.empty(
    small_records.MODEL, small_loader.ROWS, small_tokenizer.pad
  )
  for key, value in empty.items():
    assert batch[key].shape == value.shape and batch[key].dtype == value.dtype
  assert (batch["tokens"][batch["segments"] == 0] == small_tokenizer.pad).all()


def test_the_seed_decides(make_loader):
  ids = [
    small_loader.ids(small_loader.take(make_loader(seed=seed), 4))
    for seed in (1, 1, 2)
  ]
  assert ids[0] == ids[1] != ids[2]


def test_the_number_of_threads_does_not_matter(make_loader):
  data = dataclasses.replace(small_records.DATA, threads=3, prefetch=0)
  small_loader.assert_equal(
    small_loader.take(make_loader(), 3),
    small_loader.take(make_loader(data=data), 3),
  )


def test_epochs_are_complete_and_differ(make_loader):
  """By size: each record is seen as often as any other, in new orders."""
  ids = small_loader.ids(
    small_loader.take(make_loader(data=small_loader.PLAIN), 30)
  )
  counts = collections.Counter(ids)
  assert set(counts) == {
    (tasks.Tasks().number(name), row)
    for name, size in small_loader.SIZES.items()
    for row in range(size)
  }
  assert max(counts.values()) - min(counts.values()) <= 1
  s4 = [row for task, row in ids if task == tasks.Tasks().number("s4")]
  assert s4[:32] != s4[32:64]


def test_weights_decide_the_mixture(make_loader):
  loader = make_loader(mixture={"s4": 1.0, "arig": 3.0})
  counts = collections.Counter(
    task for task, _ in small_loader.ids(small_loader.take(loader, 24))
  )
  s4, arig = (counts[tasks.Tasks().number(name)] for name in ("s4", "arig"))
  assert arig / s4 == pytest.approx(3, rel=0.1)
  assert counts.total() == s4 + arig
  assert loader.counters()["samples"] == {"s4": s4, "arig": arig}


def test_hosts_read_different_records(make_loader):
  """Within an epoch, and half of the rows each."""
  one = dataclasses.replace(small_loader.ROWS, samples=1, waiting=1)
  hosts = [
    make_loader(one, small_loader.PLAIN, process_index=i, process_count=2)
    for i in range(2)
  ]
  # A row holds one sample and one waits: 27 of the 28 of half an epoch.
  batches = [small_loader.take(host, 27) for host in hosts]
  assert batches[0][0]["tokens"].shape == (1, 256)
  first, second = map(small_loader.ids, batches)
  assert len(set(first)) == len(set(second)) == 27
  assert not set(first) & set(second)


def test_hosts_must_share_rows_equally(make_loader):
  with pytest.raises(errors.UserError, match="multiple of the 3 hosts"):
    make_loader(process_count=3)


def test_bare_answers(make_loader, small_tokenizer):
  batch = next(make_loader(targets="answer"))
  labels = batch["labels"][0][batch["weights"][0] == 1]
  first = small_tokenizer.decode(
    labels[: list(labels).index(small_tokenizer.end)]
  )
  assert first.startswith("\n<answer>") and "hear" not in first


def test_rows_too_small_for_a_dataset_stop_the_run(make_loader):
  rows = dataclasses.replace(small_loader.ROWS, frame_pairs=1)
  with pytest.raises(errors.UserError, match="meld.*Rows.frame_pairs=1"):
    small_loader.take(make_loader(rows), 30)


def test_one_pass_sees_each_record_once(small_root, small_tokenizer):
  for split, count in (("train", 56), ("val", 5)):
    batches = list(
      pipeline.one_pass(
        prepared_records.read(small_root),
        small_tokenizer,
        small_records.DATA,
        small_records.MODEL,
        small_loader.ROWS,
        split=split,
      )
    )
    ids = small_loader.ids(batches)
    assert len(ids) == len(set(ids)) == count
    assert {batch["tokens"].shape for batch in batches} == {(2, 256)}

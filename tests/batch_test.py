"""Every maker of batches keeps to the one table."""

import collections
import dataclasses

import numpy as np
import pytest

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.data import packing
from crab_jax.data import prompt_batches
from crab_jax.data import samples
from crab_jax.data import tasks
from tests.data import small_records

_MODEL = small_records.MODEL
_ROWS = configs.Rows(
  rows=2,
  tokens=256,
  frame_pairs=12,
  chunks=12,
  supervised=128,
  samples=4,
)
_RECORDS = [
  small_records.record(name, row)
  for row in range(2)
  for name in ("s4", "meld", "avqa")
]


@pytest.fixture(scope="module")
def maker():
  tokenizer = small_records.small_tokenizer(_RECORDS)
  return samples.sample_maker(
    tokenizer, small_records.DATA, _MODEL, tasks.Tasks()
  )


def _empty(maker):
  return batch_lib.empty(_MODEL, _ROWS, maker.chat.tokenizer.pad), _ROWS


def _random(maker):
  return batch_lib.random(_MODEL, _ROWS), _ROWS


def _crowded(maker):
  """More media than half of a row holds, more losses than the rest."""
  rows = dataclasses.replace(_ROWS, tokens=32)
  return batch_lib.random(_MODEL, rows), rows


def _packed(maker):
  """Rows of one, two and no samples."""
  rows = dataclasses.replace(_ROWS, rows=3)
  made = [maker.train(record) for record in _RECORDS[:3]]
  layout = packing.Layout(3, rows, _MODEL, maker.chat.tokenizer.pad)
  return layout.stack([made[:1], made[1:]]), rows


def _prompts(maker):
  """As many prompts as rows but one."""
  ((_, batch, _),) = prompt_batches.batches(_RECORDS, maker, 7)
  shape = batch["tokens"].shape, batch["frames"].shape, batch["mel"].shape
  (rows, tokens), (_, pairs, *_), (_, chunks, *_) = shape
  expected = batch_lib.prompt_rows(rows, tokens, pairs, chunks)
  assert (expected.tokens, expected.frame_pairs, expected.chunks) == (
    tokens,
    pairs,
    chunks,
  )
  return batch, expected


@pytest.fixture(
  params=[_empty, _random, _crowded, _packed, _prompts],
  ids=lambda make: make.__name__,
  scope="module",
)
def made(request, maker):
  """A batch, and the shape that was asked for."""
  return request.param(maker)


def test_keys_shapes_and_dtypes(made):
  batch, rows = made
  assert list(batch) == list(batch_lib.FIELDS)
  sizes = collections.defaultdict(set)
  for name, field in batch_lib.FIELDS.items():
    assert batch[name].dtype == field.dtype, name
    for axis, size in zip(field.axes, batch[name].shape, strict=True):
      sizes[axis].add(size)
  own = {axis: {axis} for axis in sizes if isinstance(axis, int)}
  expected = batch_lib.axis_sizes(_MODEL, rows)
  assert sizes == own | {axis: {size} for axis, size in expected.items()}


def test_the_schema():
  """What stored programs and other readers of batches rely on."""
  rows = configs.Rows(2, 64, 4, 5, supervised=24, samples=3)
  found = batch_lib.empty(_MODEL, rows)
  assert {key: (str(x.dtype), x.shape) for key, x in found.items()} == {
    "tokens": ("int32", (2, 64)),
    "segments": ("int32", (2, 64)),
    "positions": ("int32", (2, 64, 3)),
    "source": ("int32", (2, 64)),
    "kinds": ("uint8", (2, 64)),
    "tasks": ("int32", (2, 64)),
    "frames": ("uint8", (2, 4, 2, 56, 56, 3)),
    "mel": ("float32", (2, 5, 200, 64)),
    "mel_lengths": ("int32", (2, 5)),
    "supervised": ("int32", (2, 24)),
    "labels": ("int32", (2, 24)),
    "weights": ("float32", (2, 24)),
    "sample_ids": ("int32", (2, 3, 2)),
  }
  unset = {key for key, x in found.items() if (x == -1).all()}
  assert unset == {"source", "tasks", "sample_ids"}
  assert not any(x.any() for key, x in found.items() if key not in unset)


def test_abstract_batches_have_the_same_shapes(made):
  batch, rows = made
  found = batch_lib.abstract(_MODEL, rows)
  assert list(found) == list(batch)
  for name, leaf in found.items():
    assert (leaf.shape, leaf.dtype) == (batch[name].shape, batch[name].dtype)


def test_what_is_unused_is_padding(made, maker):
  batch, _ = made
  fields = batch_lib.FIELDS
  unused = {
    "T": batch["segments"] == 0,
    "C": batch["mel_lengths"] == 0,
    "K": batch["weights"] == 0,
    "Q": batch["sample_ids"][..., 0] == -1,
  }
  for name, field in fields.items():
    padding = maker.chat.tokenizer.pad if name == "tokens" else field.padding
    if field.axes[1] in unused:
      assert (batch[name][unused[field.axes[1]]] == padding).all(), name
  lengths = batch["mel_lengths"][..., None]
  behind = np.arange(_MODEL.audio.unit_frames) >= lengths
  assert not batch["mel"][behind].any()
  # Padding is at the end.
  for mask in unused.values():
    assert (np.diff(mask.astype(int), axis=1) >= 0).all()


def test_segments_are_the_samples(made):
  batch, _ = made
  for row, segments in enumerate(batch["segments"]):
    used = segments[segments > 0]
    ids = batch["sample_ids"][row]
    ids = ids[ids[:, 0] >= 0]
    assert sorted(set(used)) == list(range(1, len(ids) + 1))
    assert (np.diff(used) >= 0).all()
    for number, (task, _) in enumerate(ids, 1):
      here = segments == number
      assert 0 <= task < len(tasks.Tasks())
      assert (batch["tasks"][row][here] == task).all()
      positions = batch["positions"][row][here]
      assert (positions[0] == 0).all() and (positions >= 0).all()


def test_source_is_inside_its_tables(made):
  batch, rows = made
  vision, audio = _MODEL.vision, _MODEL.audio
  first = rows.frame_pairs * vision.unit_tokens
  kinds, source = batch["kinds"], batch["source"]
  is_vision, is_audio = (source >= 0) & (source < first), source >= first
  np.testing.assert_array_equal(is_vision, kinds == TokenKind.VISION)
  np.testing.assert_array_equal(is_audio, kinds == TokenKind.AUDIO)
  for row, own in enumerate(source):
    assert len(set(own[own >= 0])) == (own >= 0).sum()
    chunk, token = divmod(own[own >= first] - first, audio.unit_tokens)
    assert (chunk < rows.chunks).all()
    lengths = audio.tokens_of(batch["mel_lengths"][row])
    assert (token < lengths[chunk]).all()


def test_supervised_positions_have_a_next_token(made):
  batch, _ = made
  vocabulary = _MODEL.decoder.vocabulary
  assert ((batch["tokens"] >= 0) & (batch["tokens"] < vocabulary)).all()
  assert ((batch["labels"] >= 0) & (batch["labels"] < vocabulary)).all()
  row, column = np.nonzero(batch["weights"])
  assert (batch["weights"][row, column] == 1).all()
  here = batch["supervised"][row, column]
  segments = batch["segments"]
  assert (segments[row, here] > 0).all()
  np.testing.assert_array_equal(segments[row, here], segments[row, here + 1])


def test_labels_are_the_next_tokens(maker):
  batch, _ = _packed(maker)
  row, column = np.nonzero(batch["weights"])
  here = batch["supervised"][row, column]
  assert len(here) > 3
  np.testing.assert_array_equal(
    batch["labels"][row, column], batch["tokens"][row, here + 1]
  )
  assert (batch["kinds"][row, here + 1] == TokenKind.ANSWER).all()


def test_a_random_batch_is_full_and_depends_on_its_seed():
  batch = batch_lib.random(_MODEL, _ROWS)
  assert (batch["segments"] == 1).all() and (batch["mel_lengths"] > 0).all()
  assert (batch["source"] >= 0).sum() == _ROWS.rows * _ROWS.tokens // 2
  assert batch["weights"].sum() == _ROWS.rows * (_ROWS.tokens // 2 - 1)
  other = batch_lib.random(_MODEL, _ROWS, seed=1)
  for name in ("tokens", "frames", "mel", "labels"):
    assert not np.array_equal(batch[name], other[name]), name


def test_inputs_are_what_the_network_reads(maker):
  batch, _ = _packed(maker)
  found = batch_lib.inputs(batch)
  assert found.keys().isdisjoint(
    {"supervised", "labels", "weights", "sample_ids"}
  )
  assert all(found[name] is batch[name] for name in batch_lib.INPUTS)


def test_buckets_round_up():
  assert batch_lib.bucket(5, (4, 8, 16)) == 8
  assert batch_lib.bucket(16, (4, 8, 16)) == 16
  assert batch_lib.bucket(17, (4, 8, 16)) == 32
  assert batch_lib.bucket(33, (4, 8, 16)) == 48


def test_the_usual_clip_brings_no_empty_pair_or_chunk():
  rows = batch_lib.prompt_rows(4, tokens=600, frame_pairs=5, chunks=5)
  assert rows == configs.Rows(4, 768, 5, 5, supervised=1, samples=1)
  # A clip of another length is not padded by more than it has.
  for count in range(1, 3000):
    rounded = batch_lib.prompt_rows(1, 1, count, count).frame_pairs
    assert count <= rounded < 2 * count


def test_padding_a_prompt_again_changes_nothing():
  once = batch_lib.prompt_rows(4, tokens=2100, frame_pairs=7, chunks=11)
  again = batch_lib.prompt_rows(4, once.tokens, once.frame_pairs, once.chunks)
  assert again == once == configs.Rows(4, 4096, 8, 16, supervised=1, samples=1)

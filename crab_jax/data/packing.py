"""Several samples in one row: which samples, and the batch of them.

The keys of a batch are documented in `crab_jax.batch`.

Packing is online. Some samples wait; a row begins with the one that waits
longest and takes those of the others that fill it best, under the budgets of
tokens, frame pairs, chunks, supervised positions and samples. On the nominal
lengths of AV-UIE v2 in rows of 2048, 32 waiting samples use 96 to 99 % of the
tokens (the mixture decides); the tightest fit into 32 open rows, which hold
more than twice as many samples, uses 95 to 96 %.
"""

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.array_types import Batch
from crab_jax.array_types import Int
from crab_jax.array_types import TokenKind
from crab_jax.data import conversation
from crab_jax.data import samples as samples_lib

# What a row has a budget of, as fields of `configs.Rows`.
BUDGETS = ("tokens", "frame_pairs", "chunks", "supervised", "samples")


def sizes(sample: samples_lib.Sample) -> Int[np.ndarray, "5"]:
  """int32[5]: what a sample takes of each of `BUDGETS`."""
  return np.array(
    [
      len(sample["tokens"]),
      len(sample["frames"]),
      len(sample["mel_lengths"]),
      len(_shifted(sample)),
      1,
    ],
    np.int32,
  )


def _shifted(sample: samples_lib.Sample) -> Int[np.ndarray, "K"]:
  """Positions of a sample whose next token is supervised."""
  return np.flatnonzero(sample["labels"][1:] != conversation.IGNORED)


def limits(rows: configs.Rows) -> Int[np.ndarray, "5"]:
  """int32[5]: what a row has of each of `BUDGETS`."""
  return np.array([getattr(rows, name) for name in BUDGETS], np.int32)


def misfit(rows: configs.Rows, size: Int[np.ndarray, "5"]) -> str | None:
  """Why a sample does not fit into an empty row; None: it does."""
  for name, needed, limit in zip(BUDGETS, size, limits(rows), strict=True):
    if needed > limit:
      return f"it needs {needed} {name}, but Rows.{name}={limit}"
  return None


class Packer:
  """Chooses which samples share a row.

  Deterministic: the rows depend only on the sizes and their order. Whoever
  gives the same items in `waiting` order again continues where it was.

  Args:
    rows: the budgets, and how many samples wait at most (`waiting`): more
      fill rows better.
  """

  def __init__(self, rows: configs.Rows):
    self._limits = limits(rows)
    self._window = rows.waiting
    self._items: list[Any] = []
    self._sizes: list[np.ndarray] = []

  @property
  def waiting(self) -> list[Any]:
    """The items that wait, the oldest first."""
    return list(self._items)

  def add(self, item: Any, size: Int[np.ndarray, "5"]) -> list[Any] | None:
    """Lets an item wait; returns the items of a row when one is made.

    Args:
      item: anything.
      size: of `sizes`; must fit into an empty row.
    """
    self._items.append(item)
    self._sizes.append(size)
    return self.pop() if len(self._items) > self._window else None

  def pop(self) -> list[Any] | None:
    """The items of the next row; None if nothing waits."""
    if not self._items:
      return None
    chosen = _choose(np.stack(self._sizes), self._limits)
    row = [self._items[index] for index in chosen]
    # From the end: a deletion moves the indices behind it.
    for index in sorted(chosen, reverse=True):
      del self._items[index], self._sizes[index]
    return row


def _choose(
  sizes: Int[np.ndarray, "n 5"], limits: Int[np.ndarray, "5"]
) -> list[int]:
  """Which items make a row: the first, then what fills it best.

  The oldest that fit join one by one; before each, the best one to three
  others to end the row with are looked up. The fullest of these rows wins.
  """
  chosen, remaining = [0], limits - sizes[0]
  best, best_remaining = chosen, remaining[0]
  while best_remaining > 0:
    fits = np.flatnonzero(np.all(sizes <= remaining, axis=1))
    fits = fits[~np.isin(fits, chosen)]
    if not len(fits):
      return chosen if remaining[0] < best_remaining else best
    # With room for any four there is nothing to decide yet.
    if not np.all(4 * sizes[fits].max(axis=0) <= remaining):
      end = fits[_best_triple(sizes[fits], remaining)]
      end_remaining = remaining[0] - sizes[end, 0].sum()
      if end_remaining < best_remaining:
        best, best_remaining = chosen + end.tolist(), end_remaining
    chosen = [*chosen, int(fits[0])]
    remaining = remaining - sizes[fits[0]]
  return best


def _best_triple(
  sizes: Int[np.ndarray, "n 5"], remaining: Int[np.ndarray, "5"]
) -> list[int]:
  """The one, two or three items with the most tokens that fit together."""
  count = len(sizes)
  # Two items of no size let a triple stand for a pair or a single.
  padded = np.concatenate([sizes, np.zeros((2, 5), np.int32)])
  first, second = np.triu_indices(count + 2, k=1)
  pairs = padded[first] + padded[second]
  inside = np.all(pairs <= remaining, axis=1)
  first, second, pairs = first[inside], second[inside], pairs[inside]
  # [pairs, n + 2]: tokens of the pair and a third behind it.
  tokens = pairs[:, :1] + padded[None, :, 0]
  # first < second < third: each triple is counted once.
  bad = np.arange(count + 2)[None] <= second[:, None]
  for budget in range(5):
    room = remaining[budget] - pairs[:, budget]
    bad |= padded[None, :, budget] > room[:, None]
  tokens[bad] = -1  # below any sum, so that argmax never takes it
  pair, third = divmod(int(tokens.argmax()), count + 2)
  triple = (int(first[pair]), int(second[pair]), third)
  return [index for index in triple if index < count]


@dataclasses.dataclass(frozen=True)
class Layout:
  """The static shape of a batch.

  Attributes:
    batch: rows of this host's batch.
    rows: the budgets of a row.
    model: the sizes of frames, chunks and tokens.
    pad: the id of padding tokens.
  """

  batch: int
  rows: configs.Rows
  model: configs.Model
  pad: int

  def stack(self, rows: Sequence[Iterable[samples_lib.Sample]]) -> Batch:
    """The batch of so many rows of samples; missing rows stay empty."""
    shape = dataclasses.replace(self.rows, rows=self.batch)
    batch = batch_lib.empty(self.model, shape, self.pad)
    for index, row in enumerate(rows):
      used = np.zeros(len(BUDGETS), np.int32)
      for sample in row:
        # Views of one row: what is written into them is in the batch.
        self._write({k: v[index] for k, v in batch.items()}, sample, used)
        used += sizes(sample)
    return batch

  def _write(
    self,
    row: Batch,
    sample: samples_lib.Sample,
    used: Int[np.ndarray, "5"],
  ) -> None:
    """Writes a sample behind what is used of a row, in place."""
    token, pair, chunk, loss, number = (int(n) for n in used)
    here = slice(token, token + len(sample["tokens"]))
    row["tokens"][here] = sample["tokens"]
    row["segments"][here] = number + 1  # 0 is padding
    # Every sample counts from 0: its rope does not know what is before it.
    row["positions"][here] = sample["positions"]
    row["kinds"][here] = sample["kinds"]
    row["tasks"][here] = sample["task"]
    row["source"][here] = self._source(sample, pair, chunk)
    row["frames"][pair : pair + len(sample["frames"])] = sample["frames"]
    chunks = slice(chunk, chunk + len(sample["mel_lengths"]))
    row["mel"][chunks] = sample["mel"]
    row["mel_lengths"][chunks] = sample["mel_lengths"]
    shifted = _shifted(sample)
    losses = slice(loss, loss + len(shifted))
    row["supervised"][losses] = token + shifted
    # A position is supervised by the token behind it.
    row["labels"][losses] = sample["labels"][shifted + 1]
    row["weights"][losses] = 1.0
    row["sample_ids"][number] = sample["task"], sample["row"]

  def _source(
    self, sample: samples_lib.Sample, pair: int, chunk: int
  ) -> Int[np.ndarray, "T"]:
    """The source of each token of a sample, see `batch.FIELDS`."""
    audio, per_pair = self.model.audio, self.model.vision.unit_tokens
    source = np.full(len(sample["tokens"]), -1, np.int32)
    vision = np.arange(len(sample["frames"]) * per_pair)
    source[sample["kinds"] == TokenKind.VISION] = pair * per_pair + vision
    # Of a short chunk only the first tokens are in the sample.
    counts = audio.tokens_of(sample["mel_lengths"])
    table = chunk + np.arange(len(counts))[:, None]
    table = table * audio.unit_tokens + np.arange(audio.unit_tokens)
    heard = table[np.arange(audio.unit_tokens) < counts[:, None]]
    # Audio rows come behind those of all pairs, used or not.
    first = self.rows.frame_pairs * per_pair
    source[sample["kinds"] == TokenKind.AUDIO] = first + heard
    return source

"""The batch: one table of its arrays, and what is made from that table.

A batch is a dict of arrays with static shapes. `FIELDS` says of every key
which axes it has, its dtype, what an unused element holds and who reads it:

  B  rows                   T  tokens of a row
  V  vision units of a row  C  audio units of a row
     ("frame pairs")           ("chunks")
  K  supervised positions   Q  samples of a row

`empty`, `random` and `abstract` make batches; `data.packing` writes samples
into an empty one. `prompt_rows` rounds the shape of a batch of prompts up, so
that generation compiles few programs.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from crab_jax import configs
from crab_jax.array_types import Batch
from crab_jax.array_types import TokenKind

# Who reads an array: the network's forward pass, the loss, or only statistics.
NETWORK, LOSS, STATISTICS = "network", "loss", "statistics"


@dataclasses.dataclass(frozen=True)
class Field:
  """One array of a batch.

  Attributes:
    axes: names of `axis_sizes`, or a fixed size.
    dtype: of its elements.
    reader: NETWORK, LOSS or STATISTICS.
    padding: what an unused element holds; of `tokens` see `empty`.
  """

  axes: tuple[str | int, ...]
  dtype: type
  reader: str
  padding: int = 0


FIELDS = {
  # Ids of the vocabulary.
  "tokens": Field(("B", "T"), np.int32, NETWORK),
  # 1, 2, ... of the row's samples, 0: padding, which is at the end of a row.
  # Attention is causal inside equal segments.
  "segments": Field(("B", "T"), np.int32, NETWORK),
  # Time, row and column; every sample starts at 0.
  "positions": Field(("B", "T", 3), np.int32, NETWORK),
  # Where the embedding comes from. -1: the table of the vocabulary; else a row
  # of this row's table [vision tokens | audio tokens]: pair * v + k, or
  # V * v + chunk * a + k, with v and a the `unit_tokens` of vision and audio.
  "source": Field(("B", "T"), np.int32, NETWORK, padding=-1),
  # `TokenKind`.
  "kinds": Field(("B", "T"), np.uint8, STATISTICS),
  # `Tasks.number` of the token's sample; a router may read it.
  "tasks": Field(("B", "T"), np.int32, NETWORK, padding=-1),
  # RGB, 0 to 255.
  "frames": Field(
    ("B", "V", "vision.unit_frames", "height", "width", 3), np.uint8, NETWORK
  ),
  # A spectrogram; 0 behind the length of a chunk.
  "mel": Field(("B", "C", "audio.unit_frames", "bins"), np.float32, NETWORK),
  # Valid frames of it; 0: the chunk is unused.
  "mel_lengths": Field(("B", "C"), np.int32, NETWORK),
  # Positions in the row whose NEXT token is predicted.
  "supervised": Field(("B", "K"), np.int32, LOSS),
  # That next token.
  "labels": Field(("B", "K"), np.int32, LOSS),
  # 1 where `supervised` is used.
  "weights": Field(("B", "K"), np.float32, LOSS),
  # `Tasks.number` and the row of the annotation.
  "sample_ids": Field(("B", "Q", 2), np.int32, STATISTICS, padding=-1),
}

# What generation needs of a batch.
INPUTS = tuple(
  name for name, field in FIELDS.items() if field.reader == NETWORK
)

# Sizes that batches of prompts are rounded up to. The usual clip has five
# vision and five audio units, which as eight would cost the encoders half as
# much again.
TOKEN_BUCKETS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
UNIT_BUCKETS = tuple(sorted(2**i * m for i in range(12) for m in (1, 5)))


def axis_sizes(model: configs.Model, rows: configs.Rows) -> dict[str, int]:
  """Axis -> its size."""
  vision, audio = model.vision, model.audio
  return {
    "B": rows.rows,
    "T": rows.tokens,
    "V": rows.frame_pairs,
    "C": rows.chunks,
    "K": rows.supervised,
    "Q": rows.samples,
    "vision.unit_frames": vision.unit_frames,
    "height": vision.frame_size,
    "width": vision.frame_size,
    "audio.unit_frames": audio.unit_frames,
    "bins": audio.bins,
  }


def shapes(
  model: configs.Model, rows: configs.Rows
) -> dict[str, tuple[int, ...]]:
  """Key -> the shape of its array."""
  sizes = axis_sizes(model, rows)
  return {
    name: tuple(
      axis if isinstance(axis, int) else sizes[axis] for axis in field.axes
    )
    for name, field in FIELDS.items()
  }


def empty(model: configs.Model, rows: configs.Rows, pad: int = 0) -> Batch:
  """A batch of nothing but padding, numpy arrays.

  Args:
    model: sizes of frames and chunks.
    rows: the static shape.
    pad: the id of padding tokens.
  """
  batch: Batch = {
    name: np.full(shape, FIELDS[name].padding, FIELDS[name].dtype)
    for name, shape in shapes(model, rows).items()
  }
  batch["tokens"][:] = pad
  return batch


def abstract(
  model: configs.Model, rows: configs.Rows
) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes and dtypes of a batch, without arrays."""
  return {
    name: jax.ShapeDtypeStruct(shape, FIELDS[name].dtype)
    for name, shape in shapes(model, rows).items()
  }


def random(model: configs.Model, rows: configs.Rows, seed: int = 0) -> Batch:
  """Full rows of one sample each, valid in every field, of task 0.

  Vision and audio tokens first, in at most half of a row, then text; the last
  positions are supervised. Shapes are static, so what is in a row does not
  change the time of a step.

  Args:
    model: sizes of frames, chunks and vocabulary.
    rows: the static shape.
    seed: of the random values.
  """
  rng = np.random.default_rng(seed)
  batch = empty(model, rows)
  vision = rows.frame_pairs * model.vision.unit_tokens
  audio = rows.chunks * model.audio.unit_tokens
  media = min(vision + audio, rows.tokens // 2)
  index = np.arange(rows.tokens)
  # A row is one sample: each position but the last has a next token.
  used = min(rows.supervised, rows.tokens - media - 1)

  def integers(name: str, limit: int):
    batch[name] = rng.integers(
      0, limit, batch[name].shape, dtype=FIELDS[name].dtype
    )

  integers("tokens", model.decoder.vocabulary)
  batch["segments"][:] = 1
  batch["positions"][:] = index[:, None]
  batch["source"][:, :media] = index[:media]
  batch["kinds"][:] = TokenKind.TEXT
  batch["kinds"][:, :media] = TokenKind.AUDIO
  batch["kinds"][:, : min(vision, media)] = TokenKind.VISION
  batch["tasks"][:] = 0
  integers("frames", 256)
  batch["mel"] = rng.standard_normal(batch["mel"].shape, np.float32)
  batch["mel_lengths"][:] = model.audio.unit_frames
  batch["supervised"][:, :used] = index[rows.tokens - 1 - used : -1]
  integers("labels", model.decoder.vocabulary)
  batch["labels"][:, used:] = 0
  batch["weights"][:, :used] = 1
  batch["sample_ids"][:, 0] = 0
  return batch


def inputs(batch: dict[str, Any]) -> dict[str, Any]:
  """The arrays of a batch that the network reads."""
  return {name: batch[name] for name in INPUTS}


def bucket(size: int, buckets: tuple[int, ...]) -> int:
  """The smallest of `buckets` that holds `size`, else a multiple of the last."""
  last = buckets[-1]
  return min((b for b in buckets if b >= size), default=-(-size // last) * last)


def prompt_rows(
  rows: int, tokens: int, frame_pairs: int, chunks: int
) -> configs.Rows:
  """The shape of a batch of prompts, one a row.

  Args:
    rows: prompts.
    tokens: of the longest.
    frame_pairs: the most that one has.
    chunks: the most that one has.
  """
  return configs.Rows(
    rows=rows,
    tokens=bucket(tokens, TOKEN_BUCKETS),
    frame_pairs=bucket(frame_pairs, UNIT_BUCKETS),
    chunks=bucket(chunks, UNIT_BUCKETS),
    supervised=1,
    samples=1,
  )

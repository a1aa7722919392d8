"""A batch of random rows: valid in every field, made without any data."""

import numpy as np

from crab_jax import array_types
from crab_jax import configs


def random_batch(
  model: configs.Model, rows: configs.Rows, seed: int = 0
) -> array_types.Batch:
  """Full rows: tower tokens first, then text, the last positions supervised.

  Shapes are static, so that what is in a row changes no time; this fills all.

  Args:
    model: sizes of frames, chunks and vocabulary.
    rows: the static shape.
    seed: of the random values.

  Returns:
    The batch of `data.packing`.
  """
  rng = np.random.default_rng(seed)
  count, tokens = rows.rows, rows.tokens
  seen = rows.frame_pairs * model.vision.unit_tokens
  heard = rows.chunks * model.audio.unit_tokens
  media = min(seen + heard, tokens // 2)
  place = np.arange(tokens, dtype=np.int32)
  source = np.where(place < media, place, -1).astype(np.int32)
  kind = array_types.TokenKind
  kinds = np.select(
    [place < min(seen, media), place < media],
    [kind.VISION, kind.AUDIO],
    kind.TEXT,
  ).astype(np.uint8)
  used = min(rows.supervised, tokens - media - 1)
  supervised = np.zeros(rows.supervised, np.int32)
  supervised[:used] = np.arange(tokens - 1 - used, tokens - 1)
  weights = (np.arange(rows.supervised) < used).astype(np.float32)
  size, mel = model.vision.frame_size, model.audio.bins
  frames = (rows.frame_pairs, model.vision.unit_frames, size, size, 3)
  ids = np.full((count, rows.samples, 2), -1, np.int32)
  ids[:, 0] = 0

  def every_row(row):
    return np.repeat(row[None], count, axis=0)

  return {
    "tokens": rng.integers(
      0, model.decoder.vocabulary, (count, tokens), dtype=np.int32
    ),
    "segments": np.ones((count, tokens), np.int32),
    "positions": every_row(np.repeat(place[:, None], 3, axis=1)),
    "source": every_row(source),
    "kinds": every_row(kinds),
    "tasks": np.zeros((count, tokens), np.int32),
    "frames": rng.integers(0, 256, (count, *frames), dtype=np.uint8),
    "mel": rng.standard_normal(
      (count, rows.chunks, model.audio.unit_frames, mel), np.float32
    ),
    "mel_lengths": np.full(
      (count, rows.chunks), model.audio.unit_frames, np.int32
    ),
    "supervised": every_row(supervised),
    "labels": rng.integers(
      0, model.decoder.vocabulary, (count, rows.supervised), dtype=np.int32
    ),
    "weights": every_row(weights),
    "sample_ids": ids,
  }

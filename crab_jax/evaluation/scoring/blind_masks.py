"""The best constant mask: the score of a blind guess at segmentation.

Kept apart from `masks` as it works on all true masks at once: they are
packed eight pixels a byte and read in blocks.
"""

from collections.abc import Iterator

import numpy as np

from crab_jax.evaluation.scoring import masks

_PIXELS = masks.SIZE * masks.SIZE
_BLOCK = 256  # masks unpacked at a time
_MASKS = 1000  # tried; of more, evenly spaced ones


def pack(mask: np.ndarray) -> np.ndarray:
  """uint8[6272]: a bool[224, 224] mask, eight pixels a byte."""
  return np.packbits(mask.ravel())


def _blocks(packed: np.ndarray) -> Iterator[np.ndarray]:
  """float32[<= 256, pixels] blocks of the masks."""
  for start in range(0, len(packed), _BLOCK):
    block = np.unpackbits(packed[start : start + _BLOCK], axis=1)
    yield block.astype(np.float32)


def candidates(packed: np.ndarray) -> np.ndarray:
  """bool[k, pixels]: the masks a blind guess chooses from.

  The pixels that are inside more than 10 %, 20 %, .., 90 % of the true masks;
  the filled mean extent of the true masks; the whole frame; nothing.
  """
  share = sum(block.sum(0) for block in _blocks(packed)) / len(packed)
  chosen = [share > level / 10 for level in range(1, 10)]
  drawn = (
    np.unpackbits(row).reshape(masks.SIZE, masks.SIZE) > 0 for row in packed
  )
  extents = [extent for mask in drawn if (extent := masks.extent(mask))]
  if extents:
    mean = np.rint(np.mean(extents, axis=0)).astype(int)
    chosen.append(masks.filled_box(mean).ravel())
  return np.array([*chosen, np.ones(_PIXELS, bool), np.zeros(_PIXELS, bool)])


def best_jaccard(packed: np.ndarray) -> float:
  """The largest mean J that one constant mask reaches.

  Args:
    packed: uint8[n, 6272], the true masks.
  """
  # Rounded up, so that at most _MASKS of them are tried.
  packed = packed[:: -(-len(packed) // _MASKS)]
  guesses = candidates(packed)
  sizes = guesses.sum(1).astype(np.float64)
  total = np.zeros(len(guesses))
  for block in _blocks(packed):
    # Counts of up to 50,176 pixels are exact in float32, and BLAS multiplies it.
    shared = (block @ guesses.T.astype(np.float32)).astype(np.float64)
    true = block.sum(1, dtype=np.float64)[:, None]
    union = true + sizes - shared
    total += np.where(
      true > 0, shared / np.maximum(union, 1), 1 - sizes / _PIXELS
    ).sum(0)
  return float(total.max() / len(packed))

"""Pictures with true masks, of records, and prompts made of the masks."""

import dataclasses

import numpy as np

from crab_jax.data import prepared_records
from crab_jax.data import sources
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts

_POINTS = 3  # of an answer
# How often a prompt lacks its box, and how often it lacks points.
_NO_BOX, _NO_POINTS = 0.15, 0.3


@dataclasses.dataclass(frozen=True)
class Examples:
  """Pictures and what is true of them.

  Attributes:
    pictures: uint8[n, 224, 224, 3].
    masks: bool[n, 224, 224], none of them empty.
    skipped: records whose picture does not decode.
  """

  pictures: np.ndarray
  masks: np.ndarray
  skipped: int

  def __len__(self) -> int:
    return len(self.pictures)


def read(
  prepared: prepared_records.Prepared, split: str, most: int
) -> Examples:
  """The records of a split that have a mask of something.

  Args:
    prepared: the records.
    split: "train", "val" or "test".
    most: of all tasks together, evenly spaced.
  """
  found = [
    sources.RecordSource(prepared.root, name, split)
    for name, sizes in prepared.splits().items()
    if sizes.get(split) and prompts.is_masked(prepared.table[name])
  ]
  keys = [(source, i) for source in found for i in range(len(source))]
  pictures, truths, skipped = [], [], 0
  for source, index in keys[:: max(-(-len(keys) // most), 1)]:
    record = source[index]
    truth = masks.from_png(record.mask) if record.mask else None
    if truth is None or not truth.any():
      continue
    try:
      pictures.append(drawer.read(record.frames[0]))
    except (OSError, ValueError):
      skipped += 1
      continue
    truths.append(truth)
  size = (0, masks.SIZE, masks.SIZE)
  return Examples(
    np.array(pictures) if pictures else np.zeros((*size, 3), np.uint8),
    np.array(truths) if truths else np.zeros(size, bool),
    skipped,
  )


def true_prompt(mask: np.ndarray) -> official_scripts.Prompt:
  """The box of a mask."""
  return official_scripts.Prompt(masks.extent(mask))


def jittered_prompt(
  rng: np.random.Generator, mask: np.ndarray, jitter: float
) -> official_scripts.Prompt:
  """A prompt as an answer might give it: a box that is off, points inside.

  Args:
    rng: source of all choices.
    mask: bool[224, 224], not empty.
    jitter: standard deviation of the corners, as a share of the box's sides.
  """
  x1, y1, x2, y2 = masks.extent(mask) or (0, 0, 0, 0)
  sides = np.array([x2 - x1 + 1, y2 - y1 + 1] * 2)
  moved = np.array([x1, y1, x2, y2]) + rng.normal(0, jitter, 4) * sides
  moved = np.clip(np.rint(moved), 0, masks.SIZE - 1).astype(int)
  left, right = sorted(moved[0::2])
  top, bottom = sorted(moved[1::2])
  box = (int(left), int(top), int(right), int(bottom))
  if rng.random() < _NO_POINTS:
    return official_scripts.Prompt(box)
  ys, xs = np.nonzero(mask)
  chosen = rng.integers(len(ys), size=_POINTS)
  points = tuple((int(xs[i]), int(ys[i])) for i in chosen)
  if rng.random() < _NO_BOX:
    return official_scripts.Prompt(None, points)
  return official_scripts.Prompt(box, points[: 1 + int(rng.integers(_POINTS))])

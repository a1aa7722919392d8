"""Boxes: audio-referred image grounding (ARIG).

Boxes are (x1, y1, x2, y2) in pixels of the 224 x 224 frame, both corners
inside the box, as the annotations have them (the extent of a mask).
"""

from collections.abc import Sequence

import numpy as np

from crab_jax import configs

THRESHOLDS = np.arange(21) * 0.05  # of the success curve


def pixels(box) -> int:
  """Pixels of a box: both corners count."""
  x1, y1, x2, y2 = box
  return max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)


def iou(first, second) -> float:
  """Pixels of the intersection over pixels of the union, in [0, 1].

  Reference: "cIoU" of EZ-VSL (arXiv 2203.09324) on the maps that the two
  boxes fill; not complete-IoU.
  """
  inner = (
    max(first[0], second[0]),
    max(first[1], second[1]),
    min(first[2], second[2]),
    min(first[3], second[3]),
  )
  shared = pixels(inner) if inner[0] <= inner[2] and inner[1] <= inner[3] else 0
  union = pixels(first) + pixels(second) - shared
  return shared / union if union else 0.0


def success(ious: np.ndarray, threshold: float = 0.5) -> float:
  """Share of samples with IoU >= threshold.

  Reference: AP50 of EZ-VSL, printed as cIoU in its tables.
  """
  return float(np.mean(np.asarray(ious) >= threshold))


def auc(ious: np.ndarray) -> float:
  """Area under success over thresholds 0, 0.05, .., 1, by trapezoids.

  The rate at threshold 0 is 1 for every prediction file, so the smallest
  value is 0.025. Reference: finalize_AUC of EZ-VSL, with the same function.
  """
  from sklearn import metrics  # takes a second, and few commands score

  ious = np.asarray(ious, np.float64)
  rates = np.array([np.mean(ious >= t) for t in THRESHOLDS])
  return float(metrics.auc(THRESHOLDS, rates))


def candidates(
  boxes: Sequence | np.ndarray, limit: int = 256
) -> list[tuple[int, ...]]:
  """The boxes that a blind guess may choose from.

  The mean box, the median box, the whole frame and the boxes themselves
  (at most `limit`, evenly spaced).
  """
  table = np.asarray(boxes, np.float64)
  step = max(len(boxes) // limit, 1)
  last = configs.COORDINATE_SIZE - 1
  chosen = [
    np.rint(table.mean(0)),
    np.rint(np.median(table, 0)),
    (0, 0, last, last),
    *table[::step],
  ]
  return sorted({tuple(int(value) for value in box) for box in chosen})


def ious_of_constant(box, boxes: Sequence | np.ndarray) -> np.ndarray:
  """float64[n]: the IoU of one box with each of n boxes."""
  table = np.asarray(boxes, np.float64)
  low = np.maximum(table[:, :2], box[:2])
  high = np.minimum(table[:, 2:], box[2:])
  # Clipped before the product: two negative sides would make an area.
  shared = np.prod(np.clip(high - low + 1, 0, None), axis=1)
  areas = np.prod(table[:, 2:] - table[:, :2] + 1, axis=1)
  return shared / (areas + pixels(box) - shared)

"""Masks: AVSBench S4 and MS3, Ref-AVS.

Masks are bool[224, 224]. A language model draws none: until a mask model is
wired in, the filled box stands in for it (`filled_box`), which is stated
beside the scores. The best J that a filled box can reach, that of the true
mask's own extent, is reported as the ceiling. pycocotools knows neither the
threshold sweep of F, nor S, nor what J is where the truth is empty, so the
official definitions are written out here.
"""

import io

import numpy as np
from PIL import Image

from crab_jax import configs
from crab_jax import errors

SIZE = configs.COORDINATE_SIZE
LEVELS = 255  # thresholds of the F sweep
BETA2 = 0.3  # weight of precision against recall


def filled_box(box) -> np.ndarray:
  """bool[224, 224]: the pixels of a box, both corners inside."""
  mask = np.zeros((SIZE, SIZE), bool)
  if box is not None:
    x1, y1, x2, y2 = box
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
  return mask


def extent(mask: np.ndarray) -> tuple[int, int, int, int] | None:
  """The smallest box around a mask; None for an empty one."""
  ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  if not len(ys):
    return None
  return int(xs[0]), int(ys[0]), int(xs[-1]), int(ys[-1])


def jaccard(truth: np.ndarray, said: np.ndarray) -> float:
  """Intersection over union; on an empty truth the share of background kept.

  Reference: mask_iou of AVSBench (arXiv 2207.05042) and Ref-AVS (arXiv
  2407.10957), at binary masks, without their 1e-7.
  """
  if not truth.any():
    return 1 - np.count_nonzero(said) / said.size
  return np.count_nonzero(truth & said) / np.count_nonzero(truth | said)


def f_curve(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
  """float64[255]: F of one frame at 255 thresholds spaced evenly in [0, 1].

  Args:
    truth: bool[H, W], not empty.
    said: bool[H, W], or float[H, W] probabilities. For a binary mask the
      first point is that of all ones, all others those of the mask.

  F = (1 + b) P R / (b P + R) with b = 0.3; 0 where P and R are.
  Reference: Eval_Fmeasure of AVSBench and of Ref-AVS.
  """
  if said.dtype == bool:
    true = int(np.count_nonzero(truth))
    both = int(np.count_nonzero(truth & said))
    curve = np.full(LEVELS, _f(both, int(np.count_nonzero(said)), true))
    # Threshold 0 selects every pixel, whatever the mask is.
    curve[0] = _f(true, truth.size, true)
    return curve
  # As in the official code: a probability of 1 passes the last threshold.
  thresholds = np.linspace(0, 1 - 1e-10, LEVELS)
  every, inside = np.sort(said.ravel()), np.sort(said[truth])
  # One sort gives the counts above all 255 thresholds.
  above = every.size - np.searchsorted(every, thresholds, "left")
  hits = inside.size - np.searchsorted(inside, thresholds, "left")
  return np.array(
    [_f(h, a, inside.size) for h, a in zip(hits, above, strict=True)]
  )


def _f(hits: int, said: int, true: int) -> float:
  """F of pixel counts; 0 without a hit."""
  if not hits:
    return 0.0
  precision, recall = hits / said, hits / true
  return (1 + BETA2) * precision * recall / (BETA2 * precision + recall)


def f_score(curves: np.ndarray) -> float:
  """The largest value of the mean curve over frames.

  Args:
    curves: float64[n, 255], frames with an empty truth left out.
  """
  return float(np.mean(curves, axis=0).max()) if len(curves) else 0.0


def single_f(truth: np.ndarray, said: np.ndarray) -> float:
  """F of one binary mask at its only threshold.

  Reference: the conventions of the scripts of Crab+: an empty
  prediction (or truth) has precision (recall) 1 if there is no hit.
  """
  hits = np.count_nonzero(truth & said)
  predicted, actual = np.count_nonzero(said), np.count_nonzero(truth)
  precision = hits / predicted if predicted else 1.0
  recall = hits / actual if actual else 1.0
  if precision + recall == 0:
    return 0.0
  return float((1 + BETA2) * precision * recall / (BETA2 * precision + recall))


def plain_jaccard(truth: np.ndarray, said: np.ndarray) -> float:
  """Intersection over union; 1 where both are empty. As in Crab+."""
  union = np.count_nonzero(truth | said)
  return np.count_nonzero(truth & said) / union if union else 1.0


def null_s(said: list[int]) -> float:
  """S of the frames without an object: sqrt(mask pixels / all pixels).

  Args:
    said: predicted pixels of each frame.

  Lower is better. Reference: metric_s_for_null of Ref-AVS's code, pooled
  over the frames (its paper divides by the background: `null_s_background`).
  """
  return float(np.sqrt(sum(said) / (len(said) * SIZE * SIZE)))


def null_s_background(said: int) -> float:
  """S of one frame over its background, as Crab+ averages it over frames."""
  background = SIZE * SIZE - said
  return float(np.sqrt(said / background)) if background else np.inf


def from_png(data: bytes) -> np.ndarray:
  """bool[224, 224] of an encoded greyscale mask: above 0 is inside."""
  image = Image.open(io.BytesIO(data)).convert("L")
  if image.size != (SIZE, SIZE):
    # Other filters would make values between inside and outside.
    image = image.resize((SIZE, SIZE), Image.Resampling.NEAREST)
  return np.asarray(image) > 0


def to_rle(mask: np.ndarray) -> dict:
  """The uncompressed run-length code of COCO: {"size", "counts"}.

  Runs go down the columns; the first counts zeros.
  """
  flat = mask.ravel(order="F").astype(np.int8)
  # The leading 0 makes the first run one of zeros, empty if need be.
  edges = np.flatnonzero(np.diff(np.concatenate(([0], flat))))
  counts = np.diff(np.concatenate(([0], edges, [flat.size])))
  return {"size": list(mask.shape), "counts": counts.tolist()}


def from_rle(code: dict) -> np.ndarray:
  """The mask of a run-length code.

  Raises:
    UserError: it is no such code, or not of a 224 x 224 mask.
  """
  try:
    size, counts = tuple(code["size"]), np.asarray(code["counts"], np.int64)
    whole = counts.ndim == 1 and (counts >= 0).all() and counts.sum() == SIZE**2
  except (KeyError, TypeError, ValueError):
    size, whole = None, False
  if size != (SIZE, SIZE) or not whole:
    raise errors.UserError(
      f"{str(code)[:80]} is no uncompressed run-length code of {SIZE} x {SIZE}"
      ' pixels: {"size": [224, 224], "counts": [zeros, ones, ..]}'
    )
  values = np.arange(len(counts)) % 2 == 1
  flat = np.repeat(values, counts)
  return np.ascontiguousarray(flat.reshape(code["size"], order="F"))

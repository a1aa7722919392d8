"""Scores of the sets whose answer is a mask: S4, MS3, Ref-AVS.

The predicted mask of a row is its "mask" (a run-length code of `masks`), if a
mask model wrote one; else the filled box of the answer stands in for it, and
"mask_source" says so. The true mask is the "mask" of the row's reference, or
the PNG of the record that a `lookup` finds.

A filled box cannot reach a J of 1 on a mask that is no rectangle. So while no
row has a mask, the primary metric is the box IoU with the extent of the true
mask, and J and F of the filled boxes are in the details beside the J that
perfect boxes would have. With masks the primary metric is J. Chance is the
best constant box (`boxes.candidates`), or the best constant mask
(`blind_masks`).
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from crab_jax import errors
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import blind_masks
from crab_jax.evaluation.scoring import boxes
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts
from crab_jax.evaluation.scoring import results

_NULL_SPLIT = "test_n"
_VIDEOS = 4  # of a batch of the released scripts
_BATCHED = "{}, mean of batches of 4 videos"


@dataclasses.dataclass
class _Frame:
  """One scored frame, its masks reduced to numbers."""

  sample: accounting.Sample
  part: dict
  truth: np.ndarray | None = None  # packed; None on the null split
  extent: tuple | None = None  # of the truth; None for an empty one
  curve: np.ndarray | None = None  # None for an empty truth
  pixels: int = 0  # predicted
  official: dict | None = None  # None: dropped
  video: tuple = ()  # (vid, and what is asked about); empty: not known


def score(samples: list[accounting.Sample], lookup=None) -> results.Result:
  """S4, MS3 and Ref-AVS: J and F from masks; S on Ref-AVS's null split.

  The value is a mean over frames with an object (for Ref-AVS the seen and
  unseen splits together, "mix").

  Args:
    samples: of one task.
    lookup: id -> record with a `mask` (PNG bytes), for rows whose reference
      carries none.

  Raises:
    UserError: no frame with an object has a true mask.
  """
  frames, without = [], 0
  for sample in samples:
    if sample.reference.exists is False:
      frames.append(_null_frame(sample))
      continue
    truth = _true_mask(sample, lookup)
    without += truth is None
    frames.append(_object_frame(sample, truth))
  for frame in frames:
    frame.video = _video(frame.sample, lookup)
  objects = [frame for frame in frames if frame.truth is not None]
  nulls = [f for f in frames if f.sample.reference.exists is False]
  if not objects and not nulls:
    raise errors.UserError(
      f"{samples[0].row.get('task', 'segmentation')}: no row has a true mask:"
      " give --data, the prepared records"
    )
  drawn = any(sample.row.get("mask") for sample in samples)
  # One metric for all frames: a mean of two kinds would mean neither.
  key = "j" if drawn else "box_iou"
  for frame in objects:
    frame.part["score"] = frame.part[key]
  chances = _chances(objects)
  return results.Result(
    value=_mean(frame.part[key] for frame in objects),
    chance=chances[key],
    guess="always the same " + ("mask" if drawn else "box"),
    parts=[frame.part for frame in frames],
    details={
      **_details(objects, nulls, samples),
      "chance_J": chances["j"],
      "rows_without_true_mask": without,
      "mask_source": _mask_source(samples),
    },
    official=official_scripts.means([frame.official for frame in frames]),
    metric="J" if drawn else "box IoU",
    unscored=without,
  )


def _chances(objects: list[_Frame]) -> dict[str, float]:
  """The best constant mask's J, and the best constant box's IoU."""
  if not objects:
    return {"j": 0.0, "box_iou": 0.0}
  packed = np.array([frame.truth for frame in objects])
  extents = np.array([frame.extent for frame in objects if frame.extent])
  rates = [
    boxes.ious_of_constant(box, extents).sum()
    for box in (boxes.candidates(extents) if len(extents) else [])
  ]
  return {
    "j": blind_masks.best_jaccard(packed),
    "box_iou": float(max(rates, default=0.0) / len(objects)),
  }


def _mask_source(samples) -> str:
  drawn = sum(bool(sample.row.get("mask")) for sample in samples)
  if not drawn:
    return "the filled box stands in for a mask"
  return f"masks of {drawn} rows, the filled box for the others"


def _true_mask(sample, lookup) -> np.ndarray | None:
  if sample.raw.get("mask"):
    return masks.from_rle(sample.raw["mask"])
  record = lookup(sample.id) if lookup else None
  return masks.from_png(record.mask) if record and record.mask else None


def _video(sample, lookup) -> tuple:
  """The video of a frame, with the description asked for (Ref-AVS)."""
  record = lookup(sample.id) if lookup else None
  fields = {**(record.meta if record else {}), **sample.raw}
  if not fields.get("vid"):
    return ()
  if sample.reference.kind == "place":
    return (fields["vid"],)
  return fields["vid"], fields.get("uid"), fields.get("fid")


def _said_mask(sample, box) -> np.ndarray:
  if sample.row.get("mask"):
    return masks.from_rle(sample.row["mask"])
  return masks.filled_box(box)


def _object_frame(sample, truth: np.ndarray | None) -> _Frame:
  """Scores a frame with an object; without a true mask only a placeholder."""
  if truth is None:
    return _Frame(sample, {"score": 0.0, "no_true_mask": True})
  said = _said_mask(sample, sample.answer.box)
  extent, box = masks.extent(truth), sample.answer.box
  failed = sample.failed and not sample.row.get("mask")
  if extent is None and sample.answer.failure == "no_box":
    failed = False  # nothing to find, and nothing pointed at
  failed = failed or bool(sample.row.get("mask_error"))
  j = 0.0 if failed else masks.jaccard(truth, said)
  curve = _curve(sample, truth, said) if extent else None
  if failed and curve is not None:
    curve = np.zeros_like(curve)
  part = {
    "score": j,
    "j": j,
    # At a threshold of one half; of a binary mask all but the first are equal.
    "f": float(curve[masks.LEVELS // 2]) if curve is not None else None,
    "box_iou": _box_iou(extent, box, failed),
    "ceiling": masks.jaccard(truth, masks.filled_box(extent)),
  }
  return _Frame(
    sample,
    part,
    # Packed: a bit a pixel, as those of a whole set are held for the blind
    # mask.
    truth=blind_masks.pack(truth),
    extent=extent,
    curve=curve,
    pixels=int(said.sum()),
    official=_official_frame(sample, truth),
  )


def _curve(sample, truth: np.ndarray, said: np.ndarray) -> np.ndarray:
  """F at the thresholds: of the probabilities, where the row has it."""
  kept = sample.row.get("mask_curve")
  if not sample.row.get("mask") or kept is None:
    return masks.f_curve(truth, said)
  curve = np.asarray(kept, np.float64)
  if curve.shape != (masks.LEVELS,) or not np.isfinite(curve).all():
    raise errors.UserError(
      f"{sample.id}: its mask_curve is no list of {masks.LEVELS} numbers"
    )
  return curve


def _box_iou(extent, box, failed: bool) -> float:
  """IoU of two boxes, either of which may be none; 1 where both are."""
  if failed or (extent is None) != (box is None):
    return 0.0
  return boxes.iou(extent, box) if extent else 1.0


def _null_frame(sample) -> _Frame:
  """Scores a frame without the object: an unread answer is a full mask."""
  every = masks.SIZE * masks.SIZE
  pixels = int(_said_mask(sample, sample.answer.box).sum())
  failed = sample.failed or sample.row.get("mask_error")
  pixels = every if failed else pixels
  said = pixels / every
  part = {"score": 1 - said, "pixels": pixels}
  return _Frame(
    sample, part, pixels=pixels, official=_official_frame(sample, None)
  )


def _mean(values) -> float:
  values = list(values)
  return float(np.mean(values)) if values else 0.0


def _details(objects: list[_Frame], nulls: list[_Frame], samples) -> dict:
  details: dict[str, Any] = {
    **_regions(objects),
    "ceiling_of_boxes": _mean(f.part["ceiling"] for f in objects),
    "frames": len(objects),
  }
  alone = sum(not frame.video for frame in (*objects, *nulls))
  if alone:
    details["frames_without_vid"] = f"{alone}, each a video of its own"
  splits = sorted({f.sample.raw.get("split", "") for f in objects} - {""})
  for split in splits:
    part = [f for f in objects if f.sample.raw.get("split") == split]
    details[split] = {**_regions(part), "n": len(part)}
  if nulls:
    details[_NULL_SPLIT] = {
      "S": _s(nulls),
      _BATCHED.format("S"): _mean_of_batches(nulls, _s),
      "n": len(nulls),
    }
  if any(s.reference.exists is not None for s in samples):
    details["existence_accuracy"] = _mean(
      s.answer.exists == s.reference.exists for s in samples
    )
  named = [_names_object(s) for s in samples if s.raw.get("a_obj")]
  if named:
    details["category_named"] = _mean(named)
  return details


def _regions(frames: list[_Frame]) -> dict[str, float | None]:
  """The numbers of frames with an object, and F as the released scripts do."""
  batched = _BATCHED.format("F")
  if not frames:
    return dict.fromkeys(("box_iou", "J", "F", "J&F", batched))
  j, f = _mean(frame.part["j"] for frame in frames), _f(frames)
  return {
    "box_iou": _mean(frame.part["box_iou"] for frame in frames),
    "J": j,
    "F": f,
    "J&F": (j + f) / 2,
    batched: _mean_of_batches(frames, _f),
  }


def _f(frames: list[_Frame]) -> float:
  return masks.f_score(_curves(frames))


def _s(frames: list[_Frame]) -> float:
  return masks.null_s([frame.pixels for frame in frames])


def _mean_of_batches(
  frames: list[_Frame], metric: Callable[[list[_Frame]], float]
) -> float | None:
  """The mean of a metric over batches of four videos, the last one smaller.

  So the scripts of AVSBench and Ref-AVS average F, a maximum, and S, a root,
  where "F" and "S" are those of all frames together. A frame whose video is not
  known is one of its own. None of no frames.
  """
  videos = collections.defaultdict(list)
  for frame in frames:
    videos[frame.video or frame.sample.id].append(frame)
  grouped = list(videos.values())
  batches = [
    list(itertools.chain(*grouped[start : start + _VIDEOS]))
    for start in range(0, len(grouped), _VIDEOS)
  ]
  return _mean(map(metric, batches)) if batches else None


def _curves(frames: list[_Frame]) -> np.ndarray:
  return np.array([f.curve for f in frames if f.curve is not None])


def _names_object(sample) -> bool:
  """Whether the text has the words of the sounding object's category."""
  text = sample.row.get("text") or ""
  names = labels.key(sample.raw["a_obj"])
  return f" {names} " in f" {labels.key(text)} "


def _official_frame(sample, truth: np.ndarray | None) -> dict | None:
  """The numbers of the official scripts; None where they drop the row."""
  prompt = official_scripts.prompt_of(
    answers.cut(sample.row.get("text") or ""),
    sample.answer.kind == "existence",
  )
  drawn = bool(sample.row.get("mask"))
  if prompt is None or (prompt.points and not prompt.box and not drawn):
    return None  # without a mask model points draw no mask
  if prompt.absent:
    said = masks.filled_box(None)
  else:
    said = _said_mask(sample, prompt.box)
  return official_scripts.scores(truth, said)

"""Scores of ARIG: the box of the object that makes the sound.

Chance is the best constant box, `boxes.candidates`.
"""

import numpy as np

from crab_jax import errors
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import boxes
from crab_jax.evaluation.scoring import results


def score(samples: list[accounting.Sample]) -> results.Result:
  """ARIG: the share of boxes with IoU >= 0.5 ("cIoU"), mean IoU and AUC."""
  truths = [sample.reference.box for sample in samples]
  if None in truths:
    missing = samples[truths.index(None)].id
    raise errors.UserError(f"the reference of {missing} has no box")
  ious = np.array(
    [
      boxes.iou(truth, sample.answer.box) if sample.answer.box else 0.0
      for truth, sample in zip(truths, samples, strict=True)
    ]
  )
  table = np.array(truths)
  rates = {
    box: boxes.success(boxes.ious_of_constant(box, table))
    for box in boxes.candidates(table)
  }
  guess = max(rates, key=lambda box: rates[box])
  blind = boxes.ious_of_constant(guess, table)
  kept = np.array([not sample.failed for sample in samples])
  readable = ious[kept] if kept.any() else np.zeros(1)
  return results.Result(
    value=boxes.success(ious),
    chance=rates[guess],
    guess=f"always the box {list(guess)}",
    parts=[{"score": iou, "iou": iou} for iou in ious.tolist()],
    details={
      "IoU": float(ious.mean()),
      "AUC": boxes.auc(ious),
      "IoU_of_guess": float(blind.mean()),
    },
    official={
      "value": boxes.success(readable),
      "IoU": float(readable.mean()),
      "AUC": boxes.auc(readable),
      "n": int(kept.sum()),
      "dropped": int((~kept).sum()),
    },
  )

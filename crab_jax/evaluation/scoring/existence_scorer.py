"""Scores of a yes-or-no task: whether what is asked for is there.

For tasks without masks; with them `segmentation_scorer` scores the place too.
Chance is the better of always saying yes and always saying no.
"""

import numpy as np

from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import results


def score(samples: list[accounting.Sample]) -> results.Result:
  """Accuracy, and the recall of either answer; what cannot be read is wrong."""
  truth = np.array([bool(sample.reference.exists) for sample in samples])
  read = np.array([not sample.failed for sample in samples])
  right = read & (truth == [bool(sample.answer.exists) for sample in samples])
  present = float(truth.mean())
  recalls = {
    f"recall_{str(value).lower()}": float(right[truth == value].mean())
    for value in (True, False)
    if (truth == value).any()
  }
  return results.Result(
    value=float(right.mean()),
    chance=max(present, 1 - present),
    guess=f"always {'true' if present >= 0.5 else 'false'}",
    parts=[{"score": float(one)} for one in right],
    details={**recalls, "share_true": present},
    official={
      "value": float(right[read].mean()) if read.any() else 0.0,
      "n": int(read.sum()),
      "dropped": int((~read).sum()),
    },
  )

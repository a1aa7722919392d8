"""The mask scores of the official scripts of Crab+, with their conventions.

Only one spelling of coordinates is read, rows without it are dropped from
the mean, J of two empty masks is 1 and F has a single threshold. For
comparison with published numbers only.

Reference: seg/scripts of GeWu-Lab/Crab_Plus, commit 7ddc56d.
"""

import re
from typing import Any

import numpy as np

from crab_jax.evaluation.scoring import masks

_COORDINATES = re.compile(r"\[([0-9]+),([0-9]+)(?:,([0-9]+),([0-9]+))?\]")


def box_of(text: str, existence: bool):
  """The box that the scripts take; () for "false"; None for a dropped row.

  A row whose only prompt is points is dropped here too: without a mask model
  points draw no mask.
  """
  if existence and "<answer>false</answer>" in text:
    return ()
  if existence and "<answer>true</answer>" not in text:
    return None
  found = [
    tuple(int(n[:6]) for n in match if n)
    for match in _COORDINATES.findall(text)
  ]
  quads = [numbers for numbers in found if len(numbers) == 4]
  points = [numbers for numbers in found if len(numbers) == 2][-3:]
  if not quads or not (points or existence):
    return None
  x1, y1, x2, y2 = quads[0]
  inside = all(
    n < masks.SIZE for numbers in [quads[0], *points] for n in numbers
  )
  return quads[0] if inside and x1 < x2 and y1 < y2 else None


def scores(truth: np.ndarray | None, said: np.ndarray) -> dict[str, float]:
  """J and F of one frame; S where there is no object.

  Args:
    truth: bool[224, 224], or None on the null split.
    said: bool[224, 224].
  """
  if truth is None:
    return {"S": masks.null_s_background(int(said.sum()))}
  return {
    "J": masks.plain_jaccard(truth, said),
    "F": masks.single_f(truth, said),
  }


def means(rows: list[dict[str, float] | None]) -> dict[str, Any]:
  """The means over the rows that are not dropped (None), and the counts."""
  kept = [row for row in rows if row]

  def mean(name: str) -> float:
    values = [row[name] for row in kept if name in row]
    return float(np.mean(values)) if values else 0.0

  numbers = {
    "metric": "J",
    "value": mean("J"),
    "J": mean("J"),
    "F": mean("F"),
    "n": len(kept),
    "dropped": len(rows) - len(kept),
  }
  return {**numbers, "S": mean("S")} if any("S" in r for r in kept) else numbers

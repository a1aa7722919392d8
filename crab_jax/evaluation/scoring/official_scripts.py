"""The mask scores of the official scripts of Crab+, with their conventions.

Only one spelling of coordinates is read, rows without it are dropped from
the mean, J of two empty masks is 1 and F has a single threshold. For
comparison with published numbers only.

Reference: seg/scripts of GeWu-Lab/Crab_Plus, commit 7ddc56d.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from crab_jax.evaluation.scoring import masks

_POINTS = 3  # that count, the last ones
_COORDINATES = re.compile(r"\[([0-9]+),([0-9]+)(?:,([0-9]+),([0-9]+))?\]")


@dataclasses.dataclass(frozen=True)
class Prompt:
  """What the scripts ask a mask model for.

  Attributes:
    box: four coordinates, or None.
    points: the last three.
    absent: the answer says that there is no object: an empty mask is scored.
  """

  box: tuple[int, ...] | None = None
  points: tuple[tuple[int, ...], ...] = ()
  absent: bool = False


def prompt_of(text: str, existence: bool) -> Prompt | None:
  """The prompt that the scripts read; None for a row that they drop.

  Args:
    text: the answer.
    existence: the answer says first whether there is an object (Ref-AVS): a
      box or a point suffices then. Else a box needs a point beside it, and
      points without a box have to be three.
  """
  if existence and "<answer>false</answer>" in text:
    return Prompt(absent=True)
  if existence and "<answer>true</answer>" not in text:
    return None
  found = [
    tuple(int(n[:6]) for n in match if n)
    for match in _COORDINATES.findall(text)
  ]
  box = next((numbers for numbers in found if len(numbers) == 4), None)
  points = tuple(numbers for numbers in found if len(numbers) == 2)[-_POINTS:]
  if not (box or points):
    return None
  if not existence and len(points) < (1 if box else _POINTS):
    return None
  if not all(
    n < masks.SIZE for numbers in (box or (), *points) for n in numbers
  ):
    return None
  if box and not (box[0] < box[2] and box[1] < box[3]):
    return None
  return Prompt(box, points)


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
  """The means over the rows that are not dropped (None), and the counts.

  A mean of no rows is None. S of a frame that the mask fills is infinite: such
  frames are left out of its mean and counted.
  """
  kept = [row for row in rows if row]

  def mean(name: str) -> float | None:
    values = [row[name] for row in kept if np.isfinite(row.get(name, np.nan))]
    return float(np.mean(values)) if values else None

  j, f = mean("J"), mean("F")
  numbers = {
    "metric": "J",
    "value": j or 0.0,
    "J": j,
    "F": f,
    "J&F": None if j is None or f is None else (j + f) / 2,
    "n": len(kept),
    "dropped": len(rows) - len(kept),
  }
  nulls = [row["S"] for row in kept if "S" in row]
  if nulls:
    numbers["S"] = mean("S")
    numbers["S_infinite"] = int(np.isinf(nulls).sum())
  return numbers

"""Do families that share heads help each other? Gates against gains.

The distance of two families is that of their datasets' mean gates in the runs
with all datasets (0 alike, 1 disjoint heads); the gain is that of training the
two together, the mean of both directions.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from crab_jax.ablation import comparison
from crab_jax.ablation import grid
from crab_jax.ablation import statistics
from crab_jax.routers import gates


@dataclasses.dataclass(frozen=True)
class Points:
  """One point a pair of families."""

  names: list[str]
  distances: np.ndarray  # float[n]
  gains: np.ndarray  # float[n], of the loss: see `comparison.gain`
  correlation: float  # Spearman's


class _Kept(NamedTuple):
  """The mean gates of a run with all datasets."""

  points: np.ndarray  # float[datasets, projections x heads]
  heads: int


def _kept(
  results: comparison.Results, method: str, targets: str
) -> list[_Kept] | None:
  """One item a seed; None where a seed has no gates."""
  found = []
  for seed in results.study.seeds:
    run = grid.Run(grid.ALL, results.tasks, method, targets, seed)
    kept = results.runs.get(run, {}).get("gates")
    if not kept:
      return None
    points = np.array([kept[task] for task in results.tasks])
    found.append(_Kept(points, results.runs[run]["heads"]))
  return found


def family_distances(results: comparison.Results, method: str):
  """[families, families] mean over seeds and datasets; None: no gates."""
  kept = _kept(results, method, results.study.pair_targets)
  if kept is None:
    return None
  index = [
    [results.tasks.index(task) for task in group]
    for group in results.groups.values()
  ]
  found = []
  for points, heads in kept:
    between = gates.distances(points, heads)
    found.append(
      [[between[np.ix_(one, two)].mean() for two in index] for one in index]
    )
  return np.mean(found, axis=0)


class Parting(NamedTuple):
  """How far apart a router sends the datasets; means over seeds.

  Attributes:
    entropy: of the datasets' mean gates, as a share of log E: 1 is uniform.
    within: distance of two datasets of one family; NaN: no such two.
    between: distance of two datasets of different families; NaN: no such two.
  """

  entropy: float
  within: float
  between: float


def partings(results: comparison.Results) -> dict[tuple[str, str], Parting]:
  """(method, targets) -> its parting, of all that have a router."""
  study = results.study
  return {
    (method, targets): found
    for method in study.methods
    for targets in study.targets
    if (found := parting(results, method, targets))
  }


def parting(
  results: comparison.Results, method: str, targets: str
) -> Parting | None:
  """The parting of a method; None where it has no gates."""
  kept = _kept(results, method, targets)
  if kept is None:
    return None
  families = np.array(results.families())
  one, two = np.triu_indices(len(families), 1)
  same = families[one] == families[two]
  found = []
  for points, heads in kept:
    apart = gates.distances(points, heads)[one, two]
    found.append(
      (
        gates.entropy_share(points.reshape(-1, heads)).mean(),
        apart[same].mean() if same.any() else np.nan,
        apart[~same].mean() if not same.all() else np.nan,
      )
    )
  return Parting(*map(float, np.mean(found, axis=0)))


def points(results: comparison.Results, method: str) -> Points | None:
  """The pairs of families of a method; None where it has no gates."""
  between = family_distances(results, method)
  if between is None:
    return None
  names, gains = results.pairs(method, "loss")
  gains = gains.mean(0)
  pairs = list(itertools.combinations(range(len(names)), 2))
  x = np.array([between[i, j] for i, j in pairs])
  y = np.array([(gains[i, j] + gains[j, i]) / 2 for i, j in pairs])
  if np.isnan(y).any():
    return None
  labels = [f"{names[i]} + {names[j]}" for i, j in pairs]
  return Points(labels, x, y, statistics.rank_correlation(x, y))

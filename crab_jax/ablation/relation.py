"""Do families that share heads help each other? Gates against gains.

The distance of two families is that of their datasets' mean gates in the runs
with all datasets; the gain is that of training the two together, the mean of
both directions.
"""

import dataclasses
import itertools

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


def family_distances(results: comparison.Results, method: str):
  """[families, families] mean over seeds and datasets; None: no gates."""
  groups = list(results.groups.values())
  found = []
  for seed in results.study.seeds:
    run = grid.Run(
      grid.ALL, results.tasks, method, results.study.pair_targets, seed
    )
    kept = results.runs.get(run, {}).get("gates")
    if not kept:
      return None
    points = np.array([kept[task] for task in results.tasks])
    between = gates.distances(points, results.runs[run]["heads"])
    index = [[results.tasks.index(t) for t in group] for group in groups]
    found.append(
      [[between[np.ix_(one, two)].mean() for two in index] for one in index]
    )
  return np.mean(found, axis=0)


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

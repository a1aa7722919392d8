"""Gains of joint training, the share of datasets that gain, and intervals.

A gain (see `comparison.gain`) is above zero where the other datasets have
helped. Arrays are [seeds, datasets].

The interval is a percentile bootstrap over seeds: what another draw of seeds
of the same number would give. With few seeds every resample is counted once
(three seeds have 27), so the interval is coarse and, with one seed, a point.

Reference: Efron, "Bootstrap methods: another look at the jackknife", 1979.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from crab_jax.array_types import Float

_DRAWS = 10_000
_LEVEL = 0.95


class Interval(NamedTuple):
  """A statistic and the interval of its bootstrap."""

  value: float
  low: float
  high: float


def positive_share(gains: Float[np.ndarray, "seeds tasks"]) -> float:
  """Share of datasets whose gain, on average over seeds, is above zero.

  A gain of exactly zero is no gain.
  """
  return float(np.mean(_mean_gain(gains) > 0))


def negative_share(gains: Float[np.ndarray, "seeds tasks"]) -> float:
  """Share of datasets that joint training harms, on average over seeds."""
  return float(np.mean(_mean_gain(gains) < 0))


def _mean_gain(gains):
  # Sums of scores differ in the last bits; such a difference is none.
  return np.round(np.mean(gains, axis=0), 9)


def mean_gain(gains: Float[np.ndarray, "seeds tasks"]) -> float:
  """The gain on average over seeds and datasets."""
  return float(np.mean(gains))


def _resamples(seeds: int) -> np.ndarray:
  """int[draws, seeds]: with replacement; all of them where they are few."""
  if seeds**seeds <= _DRAWS:
    return np.array(list(itertools.product(range(seeds), repeat=seeds)))
  rng = np.random.default_rng(0)
  return rng.integers(0, seeds, (_DRAWS, seeds))


def bootstrap(
  arrays: tuple[Float[np.ndarray, "seeds tasks"], ...],
  statistic: Callable[..., float],
) -> Interval:
  """A statistic of arrays that share their seeds, with a 95 % interval.

  Args:
    arrays: resampled together along the first axis.
    statistic: takes them all.
  """
  draws = [
    statistic(*(array[chosen] for array in arrays))
    for chosen in _resamples(len(arrays[0]))
  ]
  tail = (1 - _LEVEL) / 2
  low, high = np.quantile(draws, [tail, 1 - tail])
  return Interval(statistic(*arrays), float(low), float(high))


def rank_correlation(
  x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]
) -> float:
  """Spearman's correlation; NaN for fewer than three points or constants.

  Ties share the mean of their ranks.
  """
  if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
    return float("nan")
  return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
  _, inverse, counts = np.unique(
    values, return_inverse=True, return_counts=True
  )
  last = np.cumsum(counts)
  return (last - (counts - 1) / 2)[inverse]

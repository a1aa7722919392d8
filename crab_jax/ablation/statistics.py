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
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crab_jax.array_types import Float

_DRAWS = 10_000
_CLIP_DRAWS = 2000  # of seeds and of the clips of every dataset
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


def bootstrap_clips(
  differences: Sequence[Float[np.ndarray, "seeds _"]],
) -> Interval:
  """The mean difference of two methods, its interval over seeds and clips.

  Seeds are drawn for all datasets together, clips within each dataset; a clip
  keeps its seeds, as all runs answer the same clips. So the interval says what
  other seeds and other clips would give, the datasets being these.

  Args:
    differences: of each dataset, clip by clip.
  """
  rng = np.random.default_rng(0)
  seeds = len(differences[0])
  drawn = _counts(rng, seeds)
  total = np.zeros(_CLIP_DRAWS)
  for own in differences:
    clips = _counts(rng, own.shape[1])
    total += np.einsum("ds,sc,dc->d", drawn, own, clips, optimize=True)
  tail = (1 - _LEVEL) / 2
  low, high = np.quantile(total / len(differences), [tail, 1 - tail])
  value = float(np.mean([own.mean() for own in differences]))
  return Interval(value, float(low), float(high))


def _counts(rng: np.random.Generator, number: int) -> np.ndarray:
  """float64[_CLIP_DRAWS, number]: how often each of some is drawn, as a share."""
  shares = np.full(number, 1 / number)
  return rng.multinomial(number, shares, _CLIP_DRAWS) / number


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

"""Shares, gains and intervals, against numbers worked out by hand."""

import numpy as np
import pytest

from crab_jax.ablation import statistics

# Two seeds, three datasets: means +0.1, -0.1 and exactly 0.
_GAINS = np.array([[0.3, -0.3, 0.2], [-0.1, 0.1, -0.2]])


def test_a_gain_of_zero_is_neither_positive_nor_negative():
  assert statistics.positive_share(_GAINS) == pytest.approx(1 / 3)
  assert statistics.negative_share(_GAINS) == pytest.approx(1 / 3)


def test_the_last_bits_of_sums_are_no_gain():
  assert statistics.positive_share(np.array([[0.1 + 0.2 - 0.3]])) == 0


def test_mean_gain():
  gains = np.array([[0.5, 0.1], [0.1, 0.1]])
  assert statistics.mean_gain(gains) == pytest.approx(0.2)


def test_few_seeds_are_resampled_exhaustively():
  """Two seeds have four resamples: (0,0), (0,1), (1,0), (1,1).

  Their mean gains are 0, 0.5, 0.5 and 1; the 2.5 % quantile of four values
  lies 7.5 % of the way from the lowest to the next.
  """
  gains = np.array([[0.0], [1.0]])
  found = statistics.bootstrap((gains,), statistics.mean_gain)
  assert found.value == pytest.approx(0.5)
  assert found.low == pytest.approx(0.075 * 0.5)
  assert found.high == pytest.approx(1 - 0.075 * 0.5)


def test_one_seed_gives_a_point():
  found = statistics.bootstrap((_GAINS[:1],), statistics.positive_share)
  assert found == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_arrays_are_resampled_together():
  """Seeds differ far more than methods: paired, the difference is constant."""
  one = np.array([[1.0], [5.0], [9.0]])
  found = statistics.bootstrap(
    (one, one - 0.5), lambda a, b: float(np.mean(a) - np.mean(b))
  )
  assert found == pytest.approx((0.5, 0.5, 0.5))


def test_many_seeds_are_drawn():
  """Eight seeds, four gain 1: the interval of 8 coins is 0.125 to 0.875."""
  gains = np.array([[0.0], [1.0]] * 4)
  found = statistics.bootstrap((gains,), statistics.mean_gain)
  assert found.value == 0.5
  assert (found.low, found.high) == pytest.approx((0.125, 0.875), abs=0.13)
  again = statistics.bootstrap((gains,), statistics.mean_gain)
  assert again == found


def test_an_interval_over_clips_is_wider_than_one_over_seeds():
  """Two seeds that agree on every clip: only other clips would differ.

  100 clips, half of which gain 1: the standard error is 0.05.
  """
  clips = np.tile([0.0, 1.0], (2, 50))
  found = statistics.bootstrap_clips([clips])
  assert found.value == 0.5
  assert (found.low, found.high) == pytest.approx((0.402, 0.598), abs=0.02)
  over_seeds = statistics.bootstrap((clips,), statistics.mean_gain)
  assert over_seeds == pytest.approx((0.5, 0.5, 0.5))


def test_seeds_that_disagree_widen_it_whatever_the_clips():
  """Two seeds, 0 and 1 on every clip: half of the draws have both."""
  clips = np.repeat([[0.0], [1.0]], 400, axis=1)
  found = statistics.bootstrap_clips([clips])
  assert found == pytest.approx((0.5, 0.0, 1.0))


def test_datasets_count_alike_and_share_their_seeds():
  """One dataset gains what the other loses, in both seeds: never a difference."""
  one = np.repeat([[0.0], [1.0]], 5, axis=1)
  found = statistics.bootstrap_clips([one, -one[:, :3]])
  assert found == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_rank_correlation():
  """d = 1 for two of four ranks: 1 - 6 * 2 / (4 * 15) = 0.8."""
  x, y = np.array([1.0, 2.0, 3.0, 40.0]), np.array([2.0, 1.0, 3.0, 4.0])
  assert statistics.rank_correlation(x, y) == pytest.approx(0.8)


def test_ties_share_a_rank():
  """Ranks 1.5, 1.5, 3 against 1, 2, 3: 1.5 / sqrt(1.5 * 2)."""
  x, y = np.array([5.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0])
  wanted = 1.5 / np.sqrt(1.5 * 2)
  assert statistics.rank_correlation(x, y) == pytest.approx(wanted)


def test_constants_have_no_correlation():
  assert np.isnan(statistics.rank_correlation(np.ones(4), np.arange(4.0)))

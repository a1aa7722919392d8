"""Numbers of routers, against values worked out by hand."""

import numpy as np
import pytest

from crab_jax.routers import gates
from crab_jax.routers import statistics as router_statistics
from crab_jax.routers import sums as router_sums


def _sums(tokens):
  """One projection, one layer, one group of tokens with the given gates."""
  tokens = np.array(tokens, float)
  columns = router_sums.Columns(tokens.shape[1])
  parts = np.zeros((len(tokens), columns.width))
  parts[:, columns.gates] = tokens
  parts[:, columns.wins] = np.eye(tokens.shape[1])[tokens.argmax(1)]
  parts[:, columns.entropy] = gates.entropy_share(tokens)
  parts[:, columns.entropy_square] = gates.entropy_share(tokens) ** 2
  parts[:, columns.logit_square] = 9  # as if every logit were 3
  parts[:, columns.largest.start] = 1  # as if all lay in the first bin
  return parts.sum(0)[None, None]


def _statistics(*groups):
  sums = np.concatenate([_sums(g) for g in groups], 1)
  path = "model/layers/self_attn/q_proj"
  return router_statistics.Statistics({path: sums}, np.ones(len(groups)))


def test_uniform_gates():
  found = gates.summary(_statistics([[0.25] * 4] * 3), 4, 1)
  found = found["language model"]
  assert found["entropy"] == pytest.approx(1)
  assert found["entropy_std"] == pytest.approx(0, abs=1e-6)
  assert found["mean_entropy"] == pytest.approx(1)
  assert found["load_cv2"] == pytest.approx(0, abs=1e-12)
  assert found["dead_heads"] == 0
  assert found["logit_rms"] == pytest.approx(3)


def test_specialised_gates_have_low_entropy_and_a_high_one_of_the_mean():
  found = gates.summary(_statistics([[1.0, 0.0], [0.0, 1.0]]), 2, 1)
  found = found["language model"]
  assert found["entropy"] == pytest.approx(0, abs=1e-6)
  assert found["mean_entropy"] == pytest.approx(1)
  assert found["top_win"] == pytest.approx(0.5)


def test_collapsed_gates():
  """Load (1, 0): mean 0.5, variance 0.25, so its squared variation is 1."""
  found = gates.summary(_statistics([[1.0, 0.0]] * 3), 2, 1)
  found = found["language model"]
  assert found["mean_entropy"] == pytest.approx(0, abs=1e-6)
  assert found["load_cv2"] == pytest.approx(1)
  assert found["dead_heads"] == pytest.approx(0.5)


def test_a_head_with_a_tenth_of_its_share_is_not_dead():
  alive = gates.summary(_statistics([[0.94, 0.06]]), 2, 1)
  dead = gates.summary(_statistics([[0.96, 0.04]]), 2, 1)
  assert alive["language model"]["dead_heads"] == 0
  assert dead["language model"]["dead_heads"] == 0.5


def test_numbers_go_by_the_shares_of_gates_that_sum_to_less():
  tokens = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
  whole, half = _statistics(tokens), _statistics(tokens / 2)
  found = gates.summary(half, 2, 1)["language model"]
  assert found == pytest.approx(gates.summary(whole, 2, 1)["language model"])
  path = "model/layers/self_attn/q_proj"
  np.testing.assert_allclose(half.gates(2)[path], whole.gates(2)[path] / 2)
  points = np.array([[0.5, 0.0], [0.25, 0.25]])
  distances = gates.distances(points, 2)
  np.testing.assert_allclose(distances, gates.distances(2 * points, 2))


def test_distances_of_equal_and_of_disjoint_gates():
  statistics = _statistics([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]])
  points = gates.vectors(statistics, 2, 3)
  assert points.shape == (3, 2)
  wanted = [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
  np.testing.assert_allclose(gates.distances(points, 2), wanted, atol=1e-7)


def test_a_distance_between():
  """p = (1, 0), q = (1/2, 1/2): the divergence is 0.311278 bits."""
  points = np.array([[1.0, 0.0], [0.5, 0.5]])
  found = gates.distances(points, 2)[0, 1]
  assert found == pytest.approx(np.sqrt(0.3112781), rel=1e-6)


def test_quantiles_of_the_largest_gate():
  """Ten tokens in the first bin, ten in the last; two heads: 1/2 to 1."""
  histogram = np.zeros(router_sums.BINS)
  histogram[0] = histogram[-1] = 10
  bin_ = 0.5 / router_sums.BINS
  found = gates.largest_quantiles(histogram, 2, (0.05, 0.25, 0.95))
  wanted = [0.5 + 0.1 * bin_, 0.5 + 0.5 * bin_, 1 - 0.1 * bin_]
  np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_summary_has_the_quantiles_in_order():
  found = gates.summary(_statistics([[0.5, 0.5]] * 4), 2, 1)["language model"]
  low, middle, high = (found[f"largest_{q}"] for q in ("05", "50", "95"))
  assert 0.5 < low < middle < high < 0.5 + 0.5 / router_sums.BINS

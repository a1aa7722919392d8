"""What is added up of a token's gates, against values worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax.routers import sums as router_sums


def _of(gates):
  """The vector of one token with the given gates, all above zero."""
  gates = jnp.array(gates)
  return np.asarray(router_sums.of_tokens(jnp.log(gates), gates))


def test_every_part_of_one_token():
  columns = router_sums.Columns(2)
  found = _of([0.75, 0.25])
  assert found.shape == (columns.width,)
  np.testing.assert_allclose(found[columns.gates], [0.75, 0.25], rtol=1e-6)
  assert found[columns.wins].tolist() == [1, 0]
  # 0.75 log2(4/3) + 0.25 log2(4) bits of one bit.
  assert found[columns.entropy] == pytest.approx(0.8112781, rel=1e-6)
  assert found[columns.entropy_square] == pytest.approx(0.8112781**2, rel=1e-6)
  logits = np.log([0.75, 0.25])
  wanted = (logits**2).mean()
  assert found[columns.logit_square] == pytest.approx(wanted, rel=1e-6)
  # Half of the way from 1/2 to 1.
  bins = found[columns.largest]
  assert bins.sum() == 1
  assert bins.argmax() == router_sums.BINS // 2


@pytest.mark.parametrize(
  ("gates", "bin_"),
  [
    ([1 / 3] * 3, 0),
    ([1 - 2e-9, 1e-9, 1e-9], router_sums.BINS - 1),
  ],
)
def test_the_ends_of_the_histogram(gates, bin_):
  found = _of(gates)[router_sums.Columns(len(gates)).largest]
  assert found[bin_] == 1
  assert found.sum() == 1


def test_the_columns_lie_side_by_side():
  columns = router_sums.Columns(3)
  taken = np.zeros(columns.width)
  for part in ("gates", "wins", "entropy", "entropy_square", "logit_square"):
    taken[getattr(columns, part)] += 1
  taken[columns.largest] += 1
  assert (taken == 1).all()


def test_bfloat16_logits_are_added_up_in_float32():
  logits = jnp.ones((2, 3), jnp.bfloat16)
  found = router_sums.of_tokens(logits, jnp.full((2, 3), 1 / 3))
  assert found.dtype == "float32"


def test_gates_need_not_sum_to_one():
  """Two of three heads at 0.3 each: their shares are a half, log3(2)."""
  columns = router_sums.Columns(3)
  gates = jnp.array([0.3, 0.0, 0.3])
  found = np.asarray(router_sums.of_tokens(jnp.zeros(3), gates))
  np.testing.assert_allclose(found[columns.gates], gates)
  assert found[columns.wins].tolist() == [1, 0, 0]
  assert found[columns.entropy] == pytest.approx(0.6309298, rel=1e-6)

"""The text of a report: what it may say."""

import pytest

from crab_jax.ablation import markdown
from crab_jax.ablation import statistics


@pytest.mark.parametrize(
  ("low", "high", "seeds", "word"),
  [
    (0.1, 0.3, 3, "better"),
    (-0.3, -0.1, 3, "worse"),
    (-0.1, 0.3, 3, "no clear difference"),
    (0.2, 0.2, 1, "no verdict"),
  ],
)
def test_a_verdict_needs_an_interval_that_leaves_out_zero(
  low, high, seeds, word
):
  found = statistics.Interval((low + high) / 2, low, high)
  assert markdown._verdict(found, seeds).startswith(word)

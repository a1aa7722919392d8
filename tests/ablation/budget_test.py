"""Steps out of sizes."""

import numpy as np
import pytest

from crab_jax import configs
from crab_jax.ablation import budget

_ROWS = configs.Rows(
  rows=2, tokens=100, frame_pairs=10, chunks=10, supervised=50, samples=8
)


@pytest.mark.parametrize(
  ("size", "steps"),
  [
    ((25, 1, 1, 5, 1), 10),  # a quarter of the tokens: 20 rows, 2 a step
    ((25, 5, 1, 5, 1), 20),  # half of the frame pairs
    ((10, 1, 1, 5, 1), 5),  # an eighth of the samples
    ((0.1, 0, 0, 0.1, 0.001), 1),  # never none
  ],
)
def test_the_fullest_budget_decides(size, steps):
  assert budget.steps(np.array(size, float), _ROWS, 80) == steps

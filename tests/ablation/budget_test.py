"""Steps out of sizes: as many as the packer needs."""

import numpy as np
import pytest

from crab_jax import configs
from crab_jax.ablation import budget
from crab_jax.data import packing

_ROWS = configs.Rows(
  rows=2,
  tokens=100,
  frame_pairs=10,
  chunks=10,
  supervised=50,
  samples=8,
  waiting=16,
)


def _sizes(*rows):
  return np.array(rows, np.int32)


@pytest.mark.parametrize(
  ("size", "steps"),
  [
    ((25, 1, 1, 5, 1), 10),  # a quarter of the tokens: 20 rows, 2 a step
    ((30, 1, 1, 5, 1), 13),  # three fit, not three and a third: 27 rows
    ((25, 5, 1, 5, 1), 20),  # half of the frame pairs
    ((10, 1, 1, 5, 1), 5),  # an eighth of the samples
  ],
)
def test_the_fullest_budget_decides(size, steps):
  assert budget.steps([_sizes(size)], _ROWS, 80) == steps


def test_never_no_step():
  assert budget.steps([_sizes((1, 0, 0, 1, 1))], _ROWS, 1) == 1


def test_two_datasets_share_rows():
  """Each fills a row alone in one respect; together they fit into it."""
  frames = _sizes((25, 10, 1, 5, 1))
  sound = _sizes((25, 0, 9, 5, 1))
  alone = [budget.steps([sizes], _ROWS, 40) for sizes in (frames, sound)]
  assert alone == [20, 20]
  assert budget.steps([frames, sound], _ROWS, 40) == 20


def test_the_samples_of_a_dataset_are_as_many_together_as_alone():
  """Counted by packing other draws of the same sizes for so many steps."""
  rng = np.random.default_rng(0)
  datasets = [
    np.stack(
      [rng.integers(low, high, 64) for low, high in ranges], axis=1
    ).astype(np.int32)
    for ranges in (
      [(10, 30), (1, 6), (1, 3), (2, 9), (1, 2)],
      [(5, 60), (0, 1), (2, 8), (5, 20), (1, 2)],
      [(20, 40), (5, 9), (1, 2), (1, 4), (1, 2)],
    )
  ]
  for chosen in ([0], [1], [2], [0, 1, 2]):
    parts = [datasets[index] for index in chosen]
    number = budget.steps(parts, _ROWS, 300)
    packer, rows, held = packing.Packer(_ROWS), 0, 0
    while rows < number * _ROWS.rows:
      part = parts[rng.integers(len(parts))]
      row = packer.add(None, part[rng.integers(len(part))])
      rows += row is not None
      held += len(row or ())
    assert held / len(chosen) == pytest.approx(300, rel=0.05)

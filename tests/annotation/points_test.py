"""Points of masks."""

import numpy as np
import pytest

from crab_jax.annotation import points


def _shapes(count):
  rng = np.random.default_rng(0)
  grid = np.mgrid[:224, :224]
  for _ in range(count):
    mask = np.zeros((224, 224), bool)
    for _ in range(rng.integers(1, 4)):
      y, x = rng.integers(0, 224, 2)
      a, b = rng.integers(1, 60, 2)
      if rng.random() < 0.5:
        mask |= ((grid[0] - y) / a) ** 2 + ((grid[1] - x) / b) ** 2 <= 1
      else:
        mask[y : y + a, x : x + b] = True
    yield mask


def _check(count):
  for mask in _shapes(count):
    found = points.of_mask(mask)
    assert len(found) == 3
    assert all(mask[y, x] for x, y in found)
    if mask.sum() >= 3:
      assert len(set(found)) == 3


def test_points_lie_in_their_mask():
  _check(30)


@pytest.mark.slow
def test_points_of_a_thousand_masks_lie_in_them():
  _check(1000)


def test_the_first_is_innermost_and_the_others_far():
  mask = np.zeros((224, 224), bool)
  mask[100:121, 0:201] = True
  assert points.of_mask(mask)[0][1] == 110
  assert {x for x, _ in points.of_mask(mask)[1:]} == {0, 200} or {
    x for x, _ in points.of_mask(mask)[1:]
  } & {0, 200}


def test_points_of_a_box_lie_in_it():
  assert points.of_box((10, 20, 40, 80)) == ((25, 50), (20, 40), (30, 60))

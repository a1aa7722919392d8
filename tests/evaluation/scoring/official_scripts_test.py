"""What the official scripts read, drop and score."""

import numpy as np
import pytest

from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts

_POINTS = ((1, 2), (3, 4), (5, 6))


@pytest.mark.parametrize(
  ("text", "existence", "box", "points"),
  [
    ("[1,2,30,40], [5,6]", False, (1, 2, 30, 40), ((5, 6),)),
    ("[9,9] [1,2] [3,4] [5,6]", False, None, _POINTS),
    ("<answer>true</answer> [1,2,30,40]", True, (1, 2, 30, 40), ()),
    ("<answer>true</answer>[1,2]", True, None, ((1, 2),)),
  ],
)
def test_what_is_read(text, existence, box, points):
  prompt = official_scripts.prompt_of(text, existence)
  assert prompt == official_scripts.Prompt(box, points)


@pytest.mark.parametrize(
  ("text", "existence"),
  [
    ("[1,2,30,40]", False),  # no point
    ("[1,2]", False),  # neither a box nor three points
    ("[1,2] [3,4]", False),
    ("[1, 2, 30, 40] [5, 6]", False),  # spaces are not read
    ("[1,2,30,224] [5,6]", False),  # outside
    ("[1,2,30,40] [5,224]", False),
    ("[30,2,1,40] [5,6]", False),  # corners swapped
    ("<answer>true</answer>", True),
    ("[1,2,30,40]", True),  # neither true nor false
  ],
)
def test_what_is_dropped(text, existence):
  assert official_scripts.prompt_of(text, existence) is None


def test_an_absent_object():
  prompt = official_scripts.prompt_of("<answer>false</answer> [1,2]", True)
  assert prompt == official_scripts.Prompt(absent=True)


def test_scores_and_means():
  truth = masks.filled_box((0, 0, 1, 1))
  said = masks.filled_box((0, 0, 3, 1))
  row = official_scripts.scores(truth, said)
  assert row["J"] == 0.5
  assert row["F"] == pytest.approx(0.65 / 1.15, abs=1e-9)
  null = official_scripts.scores(None, np.zeros_like(truth))
  assert null == {"S": 0}
  means = official_scripts.means([row, None, null])
  assert means["J"] == means["value"] == 0.5
  assert (means["S"], means["n"], means["dropped"]) == (0, 2, 1)
  assert means["J&F"] == pytest.approx((0.5 + 0.65 / 1.15) / 2, abs=1e-9)
  filled = official_scripts.scores(None, np.ones_like(truth))
  means = official_scripts.means([filled, null, {"S": 0.5}])
  assert (means["S"], means["S_infinite"], means["n"]) == (0.25, 1, 3)
  assert means["J"] is means["J&F"] is None
  assert means["value"] == 0

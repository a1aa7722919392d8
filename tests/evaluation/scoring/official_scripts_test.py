"""What the official scripts read, drop and score."""

import numpy as np
import pytest

from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts


@pytest.mark.parametrize(
  ("text", "existence", "box"),
  [
    ("[1,2,30,40], [5,6]", False, (1, 2, 30, 40)),
    ("[1,2,30,40]", False, None),  # no point: dropped
    ("[1, 2, 30, 40] [5,6]", False, None),  # spaces: not read
    ("[1,2,30,224] [5,6]", False, None),  # outside
    ("[30,2,1,40] [5,6]", False, None),  # corners swapped
    ("[5,6]", False, None),  # points alone draw no mask here
    ("<answer>true</answer> [1,2,30,40]", True, (1, 2, 30, 40)),
    ("<answer>false</answer>", True, ()),
    ("[1,2,30,40]", True, None),  # neither true nor false
  ],
)
def test_what_is_read(text, existence, box):
  assert official_scripts.box_of(text, existence) == box


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

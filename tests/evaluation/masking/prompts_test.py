"""From answers to prompts: what the official scripts ask for, and the rest."""

import numpy as np
import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import official_scripts

_TABLE = tasks.Tasks()
_YES = "<answer>true</answer> "


@pytest.mark.parametrize(
  ("task", "text", "box", "points"),
  [
    ("s4", "[1,2,30,40] [5,6] [7,8]", (1, 2, 30, 40), ((5, 6), (7, 8))),
    # The first box and the last three points, as the scripts keep them.
    (
      "s4",
      "[1,2,30,40] [9,9,10,10] [0,0] [5,6] [7,8] [9,9]",
      (1, 2, 30, 40),
      ((5, 6), (7, 8), (9, 9)),
    ),
    ("ms3", "[1,2] [3,4] [5,6]", None, ((1, 2), (3, 4), (5, 6))),
    ("ref_avs", _YES + "[1,2,30,40]", (1, 2, 30, 40), ()),
    ("ref_avs", _YES + "[3,4]", None, ((3, 4),)),
    # Dropped there, drawn here.
    ("s4", "[1,2,30,40]", (1, 2, 30, 40), ()),
    ("s4", "The dog: [30, 40, 1, 2]", (1, 2, 30, 40), ()),
    ("s4", "[1,2,30,900] [5,6]</s> [7,8]", (1, 2, 30, 223), ((5, 6),)),
  ],
)
def test_a_place(task, text, box, points):
  found = prompts.of_answer(_TABLE[task], text)
  assert found == official_scripts.Prompt(box, points)


@pytest.mark.parametrize(
  ("task", "text"),
  [
    ("s4", None),
    ("s4", ""),
    ("ms3", "I hear a dog."),
    ("ref_avs", _YES),
    ("s4", "[5,5,5,5]"),
  ],
)
def test_no_place(task, text):
  assert prompts.of_answer(_TABLE[task], text) is None


@pytest.mark.parametrize(
  "text",
  [
    "<answer>false</answer>",
    "<answer>false</answer> [1,2,30,40] [5,6]",
    # Both occur: false wins, as in the scripts.
    "<answer>true</answer> [1,2,30,40] <answer>false</answer>",
  ],
)
def test_an_absent_object(text):
  found = prompts.of_answer(_TABLE["ref_avs"], text)
  assert found == official_scripts.Prompt(absent=True)
  # The other sets have no such answer.
  other = prompts.of_answer(_TABLE["s4"], text)
  assert other is None or not other.absent


def test_which_tasks_are_masked():
  found = [task.name for task in _TABLE.values() if prompts.is_masked(task)]
  assert sorted(found) == ["ms3", "ref_avs", "s4"]


def test_arrays():
  asked = [
    official_scripts.Prompt((1, 2, 30, 40), ((5, 6), (7, 8), (9, 10))),
    official_scripts.Prompt(None, ((5, 6),)),
    None,
  ]
  found = prompts.arrays(asked, 1024)
  assert found.labels.tolist()[0] == [2, 3, 1, 1, 1, -1]
  assert found.labels[1, 0] == 1
  assert found.valid.tolist() == [
    [True] * 6,
    [True, False, False, False, False, True],
    [False] * 5 + [True],
  ]
  np.testing.assert_allclose(
    found.points[0, 1], np.float32([30, 40]) * 1024 / 224, rtol=1e-6
  )

import dataclasses

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.scoring import scores

_HORN = dataclasses.replace(
  tasks.Tasks()["ks"],
  name="horn",
  kind="existence",
  metric="existence_accuracy",
  stream=None,
)


def _rows(*pairs):
  return [
    {
      "id": f"horn/test/{i}",
      "text": said,
      "reference": {"text": f"<answer>{true}</answer>."},
    }
    for i, (said, true) in enumerate(pairs)
  ]


def test_accuracy_chance_and_recalls_by_hand():
  rows = _rows(
    ("I hear it. <answer>true</answer>.", "true"),
    ("<answer>false</answer>", "true"),
    ("true", "true"),  # untagged
    ("<answer>false</answer>.", "false"),
    ("It might be there, or else it might not.", "false"),  # cannot be read
  )
  score = scores.score_rows(_HORN, rows)
  assert score.metric == "accuracy"
  assert score.value == pytest.approx(3 / 5)
  assert score.chance == pytest.approx(3 / 5)
  assert score.guess == "always true"
  assert (score.n, score.parse_failures, score.lenient) == (5, 1, 1)
  assert score.details["recall_true"] == pytest.approx(2 / 3)
  assert score.details["recall_false"] == pytest.approx(1 / 2)
  assert score.official_compatible == {
    "value": pytest.approx(3 / 4),
    "n": 4,
    "dropped": 1,
  }


def test_an_unreadable_no_is_not_right():
  rows = _rows((None, "false"), ("", "false"), ("<answer>x</answer>", "false"))
  score = scores.score_rows(_HORN, rows)
  assert score.value == 0
  assert (score.chance, score.guess) == (1, "always false")
  assert score.official_compatible["value"] == 0


def test_a_place_is_asked_for_only_with_masks():
  text = "<answer>true</answer>"
  assert answers.parse(_HORN, text).failure is None
  assert answers.parse(_HORN, f"{text} [1,2,3,4]").box == (1, 2, 3, 4)
  masked = tasks.Tasks()["ref_avs"]
  assert answers.parse(masked, text).failure == "no_box"
  assert references.read(_HORN, {"text": text}).exists is True

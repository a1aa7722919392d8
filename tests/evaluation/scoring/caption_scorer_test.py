"""Captions: the numbers beside CIDEr and those of the constant caption."""

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


def _row(i, text, reference):
  return {
    "id": f"avcap/val/{i}",
    "text": text,
    "reference": {"text": reference},
  }


def test_details_and_the_constant():
  rows = [
    _row(0, "A red dog runs fast.", "a red dog runs fast"),
    _row(1, None, "one blue cat sits still"),
  ]
  score = scores.score_rows(_TABLE["avcap"], rows)
  assert (score.metric, score.value) == ("CIDEr/10", 0.5)
  details = score.details
  assert details["CIDEr"] == 5
  assert details["ROUGE-L"] == 0.5
  assert details["content_F1"] == 0.5
  # All n-grams said are right, 5 words of 10: the brevity penalty.
  assert details["BLEU-4"] == pytest.approx(2.718281828459045**-1)
  assert details["of_the_constant"]["CIDEr"] == 5
  assert score.guess == 'always "a red dog runs fast"'
  assert score.official_compatible == {"value": 1, "n": 1, "dropped": 1}


def test_the_best_of_the_constant_captions_is_chance():
  texts = ("one two three four", "one two three five", "six seven eight nine")
  rows = [_row(i, text, text) for i, text in enumerate(texts)]
  score = scores.score_rows(_TABLE["avcap"], rows)
  # Either of the first two: 10 for itself, something for the other one.
  assert score.guess in ('always "one two three four"',
                         'always "one two three five"')  # fmt: skip
  assert 1 / 3 < score.chance < 2 / 3

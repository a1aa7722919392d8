"""Captions: the numbers beside CIDEr, of the constant, and by Java."""

import numpy as np
import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.scoring import java_captions
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


@pytest.fixture(autouse=True)
def _no_java(monkeypatch):
  """Whatever is installed where the tests run."""

  def require():
    raise java_captions.Unavailable("not here")

  monkeypatch.setattr(java_captions, "require", require)


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
  assert score.metric == "CIDEr/10"
  assert score.value == pytest.approx(0.5, abs=1e-9)
  details = score.details
  assert details["CIDEr"] == pytest.approx(5, abs=1e-9)
  assert details["ROUGE-L"] == 0.5
  assert details["METEOR"] == 0.5
  assert details["content_F1"] == 0.5
  # All n-grams said are right, 5 words of 10: the brevity penalty.
  for n in (1, 2, 3, 4):
    assert details[f"BLEU-{n}"] == pytest.approx(np.exp(-1), abs=1e-8)
  assert details["of_the_constant"]["CIDEr"] == pytest.approx(5, abs=1e-9)
  assert score.guess == 'always "a red dog runs fast"'


def test_the_official_column_says_whose_numbers_it_has():
  rows = [
    _row(0, "Dogs bark.", "dogs bark"),
    _row(1, None, "one blue cat sits"),
  ]
  official = scores.score_rows(_TABLE["avcap"], rows).official_compatible
  assert official["value"] == pytest.approx(0.5, abs=1e-9)
  assert official["METEOR"] == official["ROUGE-L"] == 1
  assert official["BLEU-1"] == pytest.approx(1, abs=1e-8)
  assert (official["n"], official["dropped"]) == (1, 1)
  assert official["METEOR_is"].endswith("own code (the released one: not here)")
  assert official["tokenizer"] == "pure Python, not PTB"


def test_the_official_column_by_java(monkeypatch):
  """Its words are those of the tokenizer, its METEOR that of the program."""
  split = ["a", "dog", "'s", "toy"]
  monkeypatch.setattr(
    java_captions, "tokens", lambda texts: [split for _ in texts]
  )
  monkeypatch.setattr(
    java_captions, "meteor", lambda true, said: [0.25] * len(true)
  )
  rows = [_row(0, "A dog's toy", "A dog's toys"), _row(1, None, "cats")]
  score = scores.score_rows(_TABLE["avcap"], rows)
  official = score.official_compatible
  assert (official["METEOR"], official["ROUGE-L"]) == (0.25, 1)
  assert official["SPICE"] is official["SPIDEr"] is None
  assert official["SPICE_is"] == "not there: not here"
  assert "Java" in official["METEOR_is"]
  assert "Java" in official["tokenizer"]
  assert score.details["ROUGE-L"] < 0.5  # its own words, and a missing answer
  quick = scores.score_rows(_TABLE["avcap"], rows, released=False)
  assert quick.official_compatible["METEOR"] != 0.25


@pytest.mark.parametrize(
  ("values", "spice"), [([0.5, 0.25], 0.375), ([0.5, float("nan")], None)]
)
def test_spider_is_the_mean_of_cider_and_spice(monkeypatch, values, spice):
  for name, of in {
    "tokens": lambda texts: [text.split() for text in texts],
    "meteor": lambda true, said: [0.0] * len(true),
    "spice": lambda true, said: values,
  }.items():
    monkeypatch.setattr(java_captions, name, of)
  rows = [_row(i, text, text) for i, text in enumerate(("a b c d", "e f g h"))]
  official = scores.score_rows(_TABLE["avcap"], rows).official_compatible
  assert official["SPICE"] == spice
  expected = None if spice is None else pytest.approx((10 + spice) / 2)
  assert official["SPIDEr"] == expected


def test_no_caption_at_all_has_no_means():
  score = scores.score_rows(_TABLE["avcap"], [_row(0, None, "a dog barks")])
  official = score.official_compatible
  assert (official["value"], official["n"], official["dropped"]) == (0, 0, 1)
  assert official["METEOR"] is official["CIDEr"] is official["BLEU-4"] is None


def test_the_best_of_the_constant_captions_is_chance():
  texts = ("one two three four", "one two three five", "six seven eight nine")
  rows = [_row(i, text, text) for i, text in enumerate(texts)]
  score = scores.score_rows(_TABLE["avcap"], rows)
  # Either of the first two: 10 for itself, something for the other one.
  assert score.guess in ('always "one two three four"',
                         'always "one two three five"')  # fmt: skip
  assert 1 / 3 < score.chance < 2 / 3

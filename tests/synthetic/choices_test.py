"""avqa_thu: four options, the answer anywhere among them."""

import collections

import numpy as np
import pytest

from tests.synthetic import guessing


@pytest.fixture(scope="module")
def pair():
  return guessing.plans("avqa_thu", 1200)


def test_options_are_four_with_the_answer_anywhere(pair):
  places = collections.Counter()
  for record in pair[0].records:
    options = record["multi_choice"]
    assert len(set(options)) == len(options) == 4
    places[options.index(record["answer"])] += 1
    assert len(record["question_text"].split()) <= 15
    assert record["label"].endswith(f"<answer>{record['answer']}</answer>.")
  assert min(places.values()) > 0.2 * len(pair[0].records)


def test_one_modality_does_not_choose(pair):
  both = [r["question_relation"] == "Both" for r in pair[1].records]
  assert np.mean(both) > 0.5
  assert guessing.hits(*pair)[both].mean() < 0.32
  for modality in ("sight", "hearing"):
    assert guessing.hits(*pair, (modality,))[both].mean() < 0.57  # one of two


def test_sound_questions_are_answered_by_hearing(pair):
  sound = [r["question_relation"] == "Sound" for r in pair[1].records]
  assert guessing.hits(*pair, ("sight",))[sound].mean() < 0.57
  for truth, wanted in zip(pair[1].truths, sound, strict=True):
    if wanted:
      number = int("last" in truth["question"])
      assert f"{number} {truth['answer']}" in truth["hearing"]

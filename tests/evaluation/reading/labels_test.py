"""Label matching: what is the same, what needs the table, what is not."""

import importlib.resources
import json

import pytest

from crab_jax.evaluation.reading import labels


@pytest.mark.parametrize(
  ("said", "true", "group", "same", "took"),
  [
    ("Violin, fiddle", "violin_fiddle", None, True, None),
    ("YES.", "yes", "qa", True, None),
    ("apply eye makeup", "ApplyEyeMakeup", None, True, "spacing"),
    ("happy", "joy", "emotion", True, "synonym"),
    ("HAP", "happiness", "emotion", True, "synonym"),
    ("2", "two", "qa", True, "synonym"),
    ("the second video", 2, "candidate", True, "synonym"),
    ("2", "two", None, False, None),
    ("violins", "violin", "qa", False, None),
    ("fear", "disgust", "emotion", False, None),
  ],
)
def test_matching(said, true, group, same, took):
  equal = labels.canonical(said, group) == labels.canonical(true, group)
  assert equal is same
  assert labels.leniency(said, true, group) == took


@pytest.mark.parametrize(
  "group", ["candidate", "emotion", "qa", "existence", "none"]
)
def test_no_word_of_the_table_means_two_things(group):
  file = (
    importlib.resources.files("crab_jax.evaluation.reading") / "synonyms.json"
  )
  table = json.loads(file.read_text(encoding="utf-8"))[group]
  words = [labels.squashed(w) for k, v in table.items() for w in (k, *v)]
  assert len(words) == len(set(words))

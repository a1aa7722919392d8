"""Emotion: mouth and voice together tell, one of them does not."""

import collections

import pytest

from crab_jax.data import tasks
from crab_jax.synthetic import emotion
from crab_jax.synthetic import scenes
from tests.synthetic import guessing

SETS = sorted(emotion.WORDS)
_MAFW = emotion.WORDS["mafw"]


def test_every_emotion_set_has_words():
  family = {t.name for t in tasks.Tasks().values() if t.family == "emotion"}
  assert family == set(SETS)


def test_signs_tell_emotions_apart():
  assert len(set(emotion.SIGNS.values())) == len(emotion.SIGNS) == 11


@pytest.mark.parametrize("task", SETS)
def test_a_set_has_a_word_for_every_emotion(task):
  assert emotion.WORDS[task].keys() == emotion.SIGNS.keys()
  for name, signs in emotion.SIGNS.items():
    shown = scenes.Face(4, *signs, "red", seed=0)
    assert emotion.emotion_of(shown) == name


@pytest.mark.parametrize("task", SETS)
def test_one_modality_leaves_several_emotions(task):
  pair = guessing.plans(task, 440)
  words = collections.Counter(emotion.WORDS[task].values())
  assert guessing.hits(*pair).mean() < max(words.values()) / 11 + 0.05
  for modality in ("sight", "hearing"):
    assert guessing.hits(*pair, (modality,)).mean() < 6 / 11 + 0.05
  assert guessing.hits(*pair, ("sight", "hearing")).mean() > 0.95


def test_target_names_the_signs():
  train, _ = guessing.plans("mafw", 44)
  for record in train.records:
    (name,) = (k for k, v in _MAFW.items() if v == record["emotion"])
    mouth, voice = emotion.SIGNS[name]
    assert f" {mouth}. " in record["label"]
    assert f" {voice} voice. " in record["label"]
    assert record["label"].endswith(f"<answer>{record['emotion']}</answer>.")

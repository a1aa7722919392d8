"""Emotion: mouth and voice together tell, one of them does not."""

import pytest

from crab_jax.data import tasks
from crab_jax.synthetic import emotion
from tests.synthetic import guessing

SETS = sorted(emotion.WORDS)


def test_every_emotion_set_has_words():
  family = {t.name for t in tasks.Tasks().values() if t.family == "emotion"}
  assert family == set(SETS)


@pytest.mark.parametrize("task", SETS)
def test_signs_tell_emotions_apart(task):
  signs = [emotion.SIGNS[name] for name in emotion.WORDS[task].values()]
  assert len(set(signs)) == len(signs)


@pytest.mark.parametrize("task", SETS)
def test_one_modality_leaves_several_emotions(task):
  pair = guessing.plans(task, 30 * len(emotion.WORDS[task]))
  classes = len(emotion.WORDS[task])
  assert guessing.hits(*pair).mean() < 1 / classes + 0.05
  for modality in ("sight", "hearing"):
    assert guessing.hits(*pair, (modality,)).mean() < 4 / classes + 0.05
  assert guessing.hits(*pair, ("sight", "hearing")).mean() > 0.95


def test_target_names_the_signs():
  train, _ = guessing.plans("mafw", 44)
  for record in train.records:
    mouth, voice = emotion.SIGNS[emotion.WORDS["mafw"][record["emotion"]]]
    assert f" {mouth}. " in record["label"]
    assert f" {voice} voice. " in record["label"]
    assert record["label"].endswith(f"<answer>{record['emotion']}</answer>.")

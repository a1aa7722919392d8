"""What can be guessed of a dataset's answers from some of its features.

A random forest is trained on one split and scored on another: it finds the
best guess from the text alone, from sight alone, from hearing alone.
"""

import numpy as np
import sklearn.ensemble
import sklearn.feature_extraction

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.synthetic import build


def plans(task: str, count: int, seed: int = 0):
  """The plans of train and val, each of so many records."""
  world = configs.World(seed=seed, train_samples=count, val_samples=count)
  row = tasks.Tasks()[task]
  return [build.plan(row, split, world) for split in ("train", "val")]


def features(truth: dict, modalities: tuple[str, ...]) -> dict[str, int]:
  """The question and what some modalities know, as presence of features."""
  words = truth["question"].split()
  names = [f"word {word}" for word in words] + [f"all {truth['question']}"]
  for modality in modalities:
    names += [f"{modality} {feature}" for feature in truth[modality]]
  return dict.fromkeys(names, 1)


def hits(train, val, modalities: tuple[str, ...] = ()) -> np.ndarray:
  """bool[n]: whether the guess from these modalities is right, on val."""
  vectorizer = sklearn.feature_extraction.DictVectorizer()
  known = vectorizer.fit_transform(
    [features(truth, modalities) for truth in train.truths]
  )
  asked = vectorizer.transform(
    [features(truth, modalities) for truth in val.truths]
  )
  forest = sklearn.ensemble.RandomForestClassifier(
    30, min_samples_leaf=3, random_state=0
  ).fit(known, [truth["answer"] for truth in train.truths])
  return forest.predict(asked) == [truth["answer"] for truth in val.truths]


def accuracy(task: str, *modalities: str, count: int = 1200) -> float:
  """The accuracy of the best guess from these modalities."""
  return float(hits(*plans(task, count), modalities).mean())

"""Labels of a whole clip: matching, action, emotion and QA sets.

Every metric takes two equally long lists of canonical labels
(`labels.canonical`); an answer that could not be read is the label "", which
no reference has.
"""

import collections
import dataclasses
import types

import numpy as np

UNREAD = ""


def _metrics() -> types.ModuleType:
  """sklearn's metrics; their import takes a second, and few commands score."""
  from sklearn import metrics

  return metrics


def accuracy(truth: list[str], predicted: list[str]) -> float:
  """Share of equal labels; the WAR of the emotion literature.

  Reference: top-1 accuracy of Kinetics-Sounds, UCF101 and CREMA-D
  (OGM-GE, arXiv 2203.15332); WAR of DFEW and MAFW.
  """
  return float(_metrics().accuracy_score(truth, predicted))


def weighted_f1(truth: list[str], predicted: list[str]) -> float:
  """Mean of the classes' F1, weighted by how often a class is true.

  A class that nobody has weighs nothing; a label outside the classes is
  a miss of the true class.

  Reference: the score of MELD (arXiv 1810.02508) and MER2024
  (arXiv 2404.17113).
  """
  return float(
    _metrics().f1_score(
      truth,
      predicted,
      labels=sorted(set(truth)),
      average="weighted",
      zero_division=0,
    )
  )


def uar(truth: list[str], predicted: list[str]) -> float:
  """Unweighted average recall: mean over the true classes of their recall.

  Reference: DFEW (arXiv 2008.05924), MAFW (arXiv 2208.00847).
  """
  return float(
    _metrics().recall_score(
      truth,
      predicted,
      # sklearn would average over classes that were only said too, at a recall
      # of 0.
      labels=sorted(set(truth)),
      average="macro",
      zero_division=0,
    )
  )


def constant(truth: list[str]) -> list[str]:
  """The best answer of one who always says the same: the commonest label.

  With p the share of a class, always saying it has accuracy p, weighted F1
  2 p^2 / (1 + p) and UAR 1 / classes: the commonest is best for all three.
  Ties go to the first in alphabetical order.
  """
  count = collections.Counter(truth)
  best = min(count, key=lambda label: (-count[label], label))
  return [best] * len(truth)


def leave_one_out(truth: list[str], groups: list[str]) -> list[str]:
  """The commonest label among the *other* members of each one's group.

  A guess from the question's type alone. Leaving the sample itself out
  keeps small groups from flattering the guess; one alone in its group has
  no guess.
  """
  count: dict[str, collections.Counter[str]] = collections.defaultdict(
    collections.Counter
  )
  for label, group in zip(truth, groups, strict=True):
    count[group][label] += 1
  # Taking one away can only change the order of the two commonest.
  leaders = {
    group: sorted(own.items(), key=lambda item: (-item[1], item[0]))[:2]
    for group, own in count.items()
  }
  guesses = []
  for label, group in zip(truth, groups, strict=True):
    # Minus the count, so that the smallest is the commonest, ties by name.
    others = [(-n + (name == label), name) for name, n in leaders[group]]
    number, name = min(others)
    guesses.append(name if number < 0 else UNREAD)
  return guesses


def by_group(correct: list[bool], groups: list[str]) -> dict[str, dict]:
  """Accuracy and n of every group, in alphabetical order."""
  members = collections.defaultdict(list)
  for right, group in zip(correct, groups, strict=True):
    members[group].append(right)
  return {
    group: {"accuracy": float(np.mean(rights)), "n": len(rights)}
    for group, rights in sorted(members.items())
  }


@dataclasses.dataclass(frozen=True)
class Confusion:
  """counts[i, j]: rows of class i that were called j; the last j is other."""

  labels: list[str]
  counts: np.ndarray  # int[classes, classes + 1]


def confusion(truth: list[str], predicted: list[str]) -> Confusion:
  """How often each true class (rows) was called each class (columns).

  The last column counts labels that no reference has, unread answers among
  them.
  """
  names = sorted(set(truth))
  index = {name: i for i, name in enumerate(names)}
  counts = np.zeros((len(names), len(names) + 1), np.int64)
  for true, said in zip(truth, predicted, strict=True):
    counts[index[true], index.get(said, len(names))] += 1
  return Confusion(names, counts)

"""The unified test: held-out scenes that every task is asked about.

Row i of every task is scene i (`tasks.UNIFIED`). Three things are measured: the
share of answers that have the form of their task; the score of every family
beside that of its own test sets; and how far answers of different tasks agree on
one scene: its instrument, time, place and emotion. What an answer states follows
from the answer alone; the references say which attributes a task's answers state
(`tasks.FACTS`), and which of a set's labels stand for one emotion.
"""

import collections
import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.scoring import boxes
from crab_jax.evaluation.scoring import detection
from crab_jax.evaluation.scoring import scores as scores_lib

FOLDER = "predictions_of_unified"  # beside the predictions
_OVERLAP = 0.5  # of two spans or boxes that agree
Scores = Mapping[str, scores_lib.TaskScore]


@dataclasses.dataclass(frozen=True)
class Unified:
  """The answers to the scenes, and what was measured.

  Attributes:
    scores: task -> its score on the scenes.
    summary: what report.json says of them.
  """

  scores: Scores
  summary: dict


def measure(scores: Scores, own: Scores) -> Unified:
  """Measures scored answers to the scenes.

  Args:
    scores: task -> its score on the scenes.
    own: task -> its score on its own test set.
  """
  rows = [row for score in scores.values() for row in score.rows]
  agreed = _consistency(scores)
  found = [share for shares in agreed.values() for share in shares]
  return Unified(
    scores,
    {
      "scenes": len({scene(row) for row in rows}),
      "pairs": len(rows),
      "form": _mean([_has_form(row) for row in rows]),
      "families": _families(scores, own),
      "consistency": _mean(found),
      "consistent": {name: _mean(shares) for name, shares in agreed.items()},
    },
  )


def scene(row: dict) -> int:
  """The number of the scene that a row asks about."""
  return int(row["id"].rpartition("/")[2])


def by_scene(scores: Scores) -> dict[int, list[tuple[str, dict]]]:
  """Scene -> (task, row) of all tasks, in the order of the table."""
  found: dict[int, list[tuple[str, dict]]] = collections.defaultdict(list)
  for name, score in scores.items():
    for row in score.rows:
      found[scene(row)].append((name, row))
  return dict(sorted(found.items()))


def _mean(values: list) -> float | None:
  return float(np.mean(values)) if values else None


def _has_form(row: dict) -> bool:
  """Whether an answer was read as it stands, all of it."""
  said = row["parsed"]
  lacks = ("failure", "unread", "leniency")
  return bool(row.get("text")) and not any(said.get(key) for key in lacks)


def _families(scores: Scores, own: Scores) -> dict[str, dict[str, float]]:
  """Family -> mean score on the scenes, and on the test sets of those tasks."""
  members: dict[str, list[str]] = collections.defaultdict(list)
  for name, score in scores.items():
    if name in own:
      members[score.family].append(name)
  return {
    family: {
      "score": float(np.mean([scores[name].value for name in members[family]])),
      "own_test": float(np.mean([own[name].value for name in members[family]])),
    }
    for family in sorted(members, key=tasks.family_order)
  }


def _consistency(scores: Scores) -> dict[str, list[bool]]:
  """Attribute -> whether the answers of each pair of tasks agree on a scene.

  An answer that states nothing of its attribute agrees with none.
  """
  statements: dict[tuple[str, int], list] = collections.defaultdict(list)
  for score in scores.values():
    rows = [row for row in score.rows if _facts(row)]
    for attribute, known in _known(rows).items():
      for row in rows:
        answer = answers.parse(score.definition, row.get("text"))
        stated = _STATED[attribute](answer, known)
        statements[attribute, scene(row)].append(stated)
  agreed: dict[str, list[bool]] = collections.defaultdict(list)
  for (attribute, _), found in statements.items():
    for one, other in itertools.combinations(found, 2):
      there = one is not None and other is not None
      agreed[attribute].append(there and _AGREE[attribute](one, other))
  return dict(agreed)


def _facts(row: dict) -> dict:
  return json.loads(row["reference"].get(tasks.FACTS) or "{}")


def _known(rows: list[dict]) -> dict[str, Any]:
  """Attribute that these answers state -> label -> values it stands for."""
  known: dict[str, Any] = {}
  for row in rows:
    for attribute, value in _facts(row).items():
      table = known.setdefault(attribute, collections.defaultdict(set))
      if attribute == "emotion":
        table[_label(row)].add(value)
      elif attribute == "instrument":
        table[value].add(value)
  return known


def _label(row: dict) -> str:
  """The label of a reference "<answer>joy</answer>."."""
  text = str(row["reference"].get("text"))
  found = re.search(r"<answer>(.{1,80}?)</answer>", text)
  return (found.group(1) if found else text).strip().lower()


def _instrument(answer: answers.Answer, known) -> set[str] | None:
  """The instrument that a label names, or that an event is of."""
  event = _event(answer)
  words = (event.label if event else answer.label or "").lower().split()
  return {word for word in words if word in known} or None


def _emotion(answer: answers.Answer, known) -> set[str] | None:
  return known.get((answer.label or "").strip().lower()) or None


def _event(answer: answers.Answer) -> intervals.Event | None:
  """The first event that is both seen and heard."""
  both = [event for event in answer.events if event.modality == "both"]
  if both:
    return both[0]
  heard = {e.label: e for e in answer.events if e.modality == "audio"}
  for seen in answer.events:
    if seen.modality == "visual" and seen.label in heard:
      other = heard[seen.label]
      start, end = max(seen.start, other.start), min(seen.end, other.end)
      return intervals.Event(seen.label, start, end)
  return None


def _span(answer: answers.Answer) -> tuple[float, float] | None:
  event = _event(answer)
  return (event.start, event.end) if event else None


_STATED: dict[str, Callable[[answers.Answer, Any], Any]] = {
  "instrument": _instrument,
  "time": lambda answer, known: _span(answer),
  "place": lambda answer, known: answer.box,
  "emotion": _emotion,
}
_AGREE: dict[str, Callable[[Any, Any], bool]] = {
  "instrument": lambda one, other: one == other,
  "time": lambda one, other: detection.tiou(one, other) >= _OVERLAP,
  "place": lambda one, other: boxes.iou(one, other) >= _OVERLAP,
  "emotion": lambda one, other: bool(one & other),
}

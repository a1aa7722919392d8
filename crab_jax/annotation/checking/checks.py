"""All checks of one text, and those of all texts of a task together."""

import collections
from collections.abc import Callable
from collections.abc import Mapping

from crab_jax.annotation import conclusions
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import language
from crab_jax.annotation.checking import senses
from crab_jax.annotation.checking import times_said
from crab_jax.annotation.checking import words

_WINDOW = 8  # words that two texts may not share too often
_SHARED = 0.01  # of the texts of a task
_OPENING, _OPENED = 3, 0.2  # words of an opening, share of texts that have it
_LEAST = 20  # texts below which nothing is said of sameness

_CHECKS: tuple[
  Callable[[str, findings.Context], findings.Finding | None], ...
] = (
  words.marks,
  words.told,
  times_said.check,
  senses.other_class,
  senses.contradicted,
  senses.modality,
  senses.place,
  language.check,
  words.length,
  words.first_sentence,
  words.invented,
)  # fmt: skip
# code -> what it is about, in the order of the report
CODES = {
  "parse": "the target does not read as the label",
  "marks": "tags, bracketed numbers, JSON, markdown",
  "told": "tells of having been told",
  "times": "times outside of the clip, or not those of the event",
  "other_class": "another class is said to be there",
  "contradicted": "notes without the label do not fit it",
  "modality": "seen what is only heard, or the reverse",
  "place": "the wrong side of the frame",
  "language": "another language",
  "length": "too short or too long",
  "sameness": "like too many others of the task",
  "no_reasoning": "the answer in the first sentence",
  "invented": "quotes, names, health, origin, religion",
  "near_double": "a clip of another split is nearly the same",
  "proposed_times": "a teacher proposed the times of its events",
  "judge": "another model does not find it supported",
  "reply": "the reply of the teacher cannot be read",
  "refused": "the teacher refused",
}


def run(text: str, context: findings.Context) -> list[findings.Finding]:
  """What is wrong with a reasoning.

  Args:
    text: without the conclusion.
    context: what is known of the row.
  """
  target = conclusions.target(text, context.item.truth)
  found = []
  problem = conclusions.difference(context.task, target, context.item.truth)
  if problem:
    found.append(
      findings.Finding(
        "parse", findings.REWRITE, f"it reads as another answer: {problem}"
      )
    )
  found += [
    finding
    for check in _CHECKS
    if (finding := check(text, context)) is not None
  ]
  if (long := words.whole_length(target, context.count)) is not None:
    found.append(long)
  return found


def sameness(texts: Mapping[str, str]) -> dict[str, findings.Finding]:
  """Id -> finding, of the texts of a task that are like too many others.

  Args:
    texts: id -> reasoning.
  """
  if len(texts) < _LEAST:
    return {}
  grams: collections.Counter[tuple[str, ...]] = collections.Counter()
  openings: collections.Counter[tuple[str, ...]] = collections.Counter()
  for text in texts.values():
    said = text.lower().split()
    grams.update(_grams(said).keys())
    openings[tuple(said[:_OPENING])] += 1
  most = max(_SHARED * len(texts), 1)
  found = {}
  for name, text in texts.items():
    said = text.lower().split()
    shared = [gram for gram in _grams(said) if grams[gram] > most]
    opened = openings[tuple(said[:_OPENING])] > _OPENED * len(texts)
    if shared or opened:
      at, many = (
        (min(_grams(said)[g] for g in shared), _WINDOW)
        if shared
        else (0, _OPENING)
      )
      phrase = " ".join(text.split()[at : at + many])  # as it stands there
      found[name] = findings.Finding(
        "sameness", findings.FLAG, f"many rows say {phrase!r}", (phrase,)
      )
  return found


def _grams(said: list[str]) -> dict[tuple[str, ...], int]:
  """Each window of words -> where it begins first."""
  return {
    tuple(said[i : i + _WINDOW]): i
    for i in reversed(range(len(said) - _WINDOW + 1))
  }

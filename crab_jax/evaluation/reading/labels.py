"""When two labels are the same: case-fold, punctuation, synonyms; never fuzzy.

The rule of all label metrics. Two labels agree when their keys are equal
(`key`); or when they are equal without spaces ("ApplyEyeMakeup" and "apply
eye makeup"; leniency "spacing"); or when the published table
`synonyms.json` says so (leniency "synonym"). Nothing else: no edit distance,
no substring.
"""

import functools
import importlib.resources
import json
import re

_SEPARATORS = re.compile(r"[\W_]+")


def key(label) -> str:
  """Case-folded label; a run of other than letters and digits is a space."""
  # `casefold`, as it knows letters that `lower` leaves: ß is ss.
  return _SEPARATORS.sub(" ", str(label).casefold()).strip()


def squashed(label) -> str:
  """The key without its spaces: the form that identifies a class."""
  return key(label).replace(" ", "")


@functools.cache
def _published() -> dict[str, dict[str, list[str]]]:
  file = importlib.resources.files(__package__) / "synonyms.json"
  return json.loads(file.read_text(encoding="utf-8"))


def groups() -> tuple[str, ...]:
  """The groups of the table of synonyms."""
  return tuple(_published())


@functools.cache
def synonyms(group: str | None) -> dict[str, str]:
  """Squashed word -> squashed canonical word of one group of the table."""
  if group is None:
    return {}
  table = _published()[group]
  return {
    squashed(word): squashed(canonical)
    for canonical, words in table.items()
    for word in (canonical, *words)
  }


def words(label, group: str | None = None) -> tuple[str, ...]:
  """All words of the table for the class of a label; (): it has none.

  Args:
    label, group: as of `canonical`.
  """
  name = canonical(label, group)
  table = _published()[group] if group is not None else {}
  return tuple(
    word
    for first, others in table.items()
    if squashed(first) == name
    for word in (first, *others)
  )


def canonical(label, group: str | None = None) -> str:
  """The identity of a label's class: equal strings are the same class.

  Args:
    label: any value; numbers are read as their digits.
    group: a group of `synonyms.json`, or None for no synonyms.
  """
  word = squashed(label)
  return synonyms(group).get(word, word)


def leniency(predicted, reference, group: str | None = None) -> str | None:
  """What it took to match two labels: None, "spacing" or "synonym".

  None also where they do not match at all: a wrong answer used no leniency.
  """
  if key(predicted) == key(reference):
    return None
  if squashed(predicted) == squashed(reference):
    return "spacing"
  same = canonical(predicted, group) == canonical(reference, group)
  return "synonym" if same else None

"""Which rows are scored, and what is counted beside every score.

Strict accounting: a row that failed, has no text or cannot be read is scored
as wrong and stays in every mean; rows with an id that was seen before are
removed and counted; rows that a set should have and has not are added as
"missing".
"""

import collections
import dataclasses
from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import references


@dataclasses.dataclass(frozen=True)
class Sample:
  """One scored row."""

  id: str
  answer: answers.Answer
  reference: answers.Answer
  row: dict  # as in predictions/{task}.jsonl

  @property
  def raw(self) -> dict:
    """The raw annotation fields of the reference."""
    return self.row["reference"]

  @property
  def failed(self) -> bool:
    return self.answer.failure is not None


def samples(task: tasks.Task, rows) -> tuple[list[Sample], int]:
  """The samples of a task's rows, and how many duplicates were removed.

  The text is read anew: the "parsed" of a row is for people. The first row
  of an id stays. They are put in the order of the annotation, so that nothing
  (ties of a blind guess, say) depends on the order of the rows.

  Raises:
    UserError: a row has no id or no reference, or a reference names a class
      that the task has not.
  """
  kept, duplicates = {}, 0
  for row in rows:
    for name in ("id", "reference"):
      if not row.get(name):
        raise errors.UserError(
          f"{task.name}: a row of the predictions has no {name!r}: {str(row)[:200]}"
        )
    if row["id"] in kept:
      duplicates += 1
      continue
    kept[row["id"]] = Sample(
      id=row["id"],
      answer=_answer(task, row),
      reference=references.read(task, row["reference"]),
      row=row,
    )
  _require_classes(task, kept.values())
  return sorted(kept.values(), key=lambda s: place_of(str(s.id))), duplicates


def _require_classes(task: tasks.Task, kept: Iterable[Sample]) -> None:
  """Raises UserError for a true label that is none of the task's classes."""
  known = {labels.canonical(name, task.synonyms) for name in task.classes}
  for sample in kept if known else ():
    found = [event.label for event in sample.reference.events]
    found += [sample.reference.label] if sample.reference.label else []
    for label in found:
      if labels.canonical(label, task.synonyms) not in known:
        raise errors.UserError(
          f"{task.name}: the reference of {sample.id} is {label!r}, none of"
          f" its classes {', '.join(task.classes)}"
        )


def place_of(name: str) -> tuple[int, str]:
  """What an id is sorted by: its row in the annotation, then itself."""
  number = name.rpartition("/")[2]
  return (int(number[:18]) if number.isdecimal() else 0), name


def _answer(task: tasks.Task, row: dict) -> answers.Answer:
  if row.get("error"):
    return answers.Answer(task.kind, failure="error")
  return answers.parse(task, row.get("text"))


def with_missing(rows, expected: dict[str, dict]) -> list[dict]:
  """The rows, and one with error "missing" for each expected id without.

  Args:
    rows: rows of one task.
    expected: id -> reference of every record of the set.
  """
  present = {row.get("id") for row in rows}
  added = [
    {"id": name, "text": None, "reference": reference, "error": "missing"}
    for name, reference in expected.items()
    if name not in present
  ]
  return [*rows, *added]


def counts(kept: list[Sample], duplicates: int) -> dict:
  """The counts beside every number.

  n: rows scored. parse_failures: rows with a text that could not be read.
  failed: rows without a text (an error, or missing). split: its name, by the
  ids.
  """
  failures = collections.Counter(s.answer.failure for s in kept if s.failed)
  unread = ("error", "missing")
  leniency = collections.Counter(k for s in kept for k in s.answer.leniency)
  splits = sorted({split_of(s.row) for s in kept})
  return {
    "n": len(kept),
    "parse_failures": sum(
      count for reason, count in failures.items() if reason not in unread
    ),
    "failed": sum(failures[reason] for reason in unread),
    "duplicates": duplicates,
    "split": "+".join(splits),
    "failure_reasons": dict(failures),
    "leniency": dict(leniency),
  }


def split_of(row: dict) -> str:
  """The split: the row's field, else the middle of its id."""
  if row.get("split"):
    return str(row["split"])
  parts = str(row["id"]).split("/")
  return parts[1] if len(parts) == 3 else "unknown"

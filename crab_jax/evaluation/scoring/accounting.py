"""Which rows are scored, and what is counted beside every score.

Strict accounting: a row that failed, has no text or cannot be read is scored
as wrong and stays in every mean; rows with an id that was seen before are
removed and counted; rows that a set should have and has not are added as
"missing"; rows whose reference cannot be read are left out and counted.
"""

import collections
import dataclasses
from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.reading import vocabulary

_NAMED = 3  # rows left out that a report names


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


@dataclasses.dataclass(frozen=True)
class Accounts:
  """What becomes of the rows of a task.

  Attributes:
    samples: the rows that are scored, in the order of the annotation.
    duplicates: rows removed because their id was there before.
    left_out: rows whose reference cannot be read; nobody can score them.
    reasons: of the first of these, in words.
  """

  samples: list[Sample]
  duplicates: int
  left_out: list[dict]
  reasons: list[str]


def accounts(task: tasks.Task, rows: Iterable[dict]) -> Accounts:
  """Sorts out the rows of a task and reads their answers.

  The text is read anew: the "parsed" of a row is for people. The first row
  of an id stays. They are put in the order of the annotation, so that nothing
  (ties of a blind guess, say) depends on the order of the rows.

  Raises:
    UserError: a row has no id or no reference, or no row can be scored.
  """
  chosen, duplicates = _without_duplicates(task, rows)
  truths, left_out, reasons = {}, [], []
  for name, row in chosen.items():
    try:
      truths[name] = references.of_row(task, row)
    except errors.UserError as error:
      left_out.append(row)
      reasons.append(f"{name}: {error}")
  if left_out and not truths:
    raise errors.UserError(
      f"{task.name}: none of {len(left_out)} references can be read;"
      f" {reasons[0]}"
    )
  known = vocabulary.of_references(
    task, [truth.label for truth in truths.values() if truth.label]
  )
  kept = [
    Sample(name, _answer(task, chosen[name], known), truth, chosen[name])
    for name, truth in truths.items()
  ]
  kept.sort(key=lambda sample: place_of(str(sample.id)))
  return Accounts(kept, duplicates, left_out, reasons[:_NAMED])


def _without_duplicates(
  task: tasks.Task, rows: Iterable[dict]
) -> tuple[dict[str, dict], int]:
  kept: dict[str, dict] = {}
  duplicates = 0
  for row in rows:
    for name in ("id", "reference"):
      if not row.get(name):
        raise errors.UserError(
          f"{task.name}: a row of the predictions has no {name!r}: {str(row)[:200]}"
        )
    row = _plain(row)
    duplicates += row["id"] in kept
    kept.setdefault(row["id"], row)
  return kept, duplicates


def _plain(row: dict) -> dict:
  """A row that may be written by hand: `"id": 3, "reference": "dog"`."""
  name, reference = row["id"], row["reference"]
  if not isinstance(reference, dict):
    reference = {"text": str(reference)}
  return {**row, "id": str(name), "reference": reference}


def place_of(name: str) -> tuple[int, str]:
  """What an id is sorted by: its row in the annotation, then itself."""
  number = name.rpartition("/")[2]
  # `int` refuses texts of thousands of digits, and ids may be written by hand.
  return (int(number[:18]) if number.isdecimal() else 0), name


def _answer(
  task: tasks.Task, row: dict, known: vocabulary.Known
) -> answers.Answer:
  text = row.get("text")
  if row.get("error"):
    return answers.Answer(task.kind, failure="error")
  if isinstance(text, (int, float)):  # written by hand: `"text": 2`
    text = str(text)
  if text is not None and not isinstance(text, str):
    return answers.Answer(task.kind, failure="no_text")
  options = references.options(row)
  if options and task.kind == "label":
    known = vocabulary.of_options(options)
  return answers.parse(task, text, known)


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


def counts(kept: list[Sample]) -> dict:
  """The counts beside every number.

  n: rows scored. parse_failures: rows with a text that could not be read.
  partly_read: rows that were read but for a part of what they say. failed:
  rows without a text (an error, or missing). split: its name, by the ids.
  cut_off: rows by the limit that ended their answer before its end.
  """
  failures = collections.Counter(s.answer.failure for s in kept if s.failed)
  without_text = ("error", "missing")
  leniency = collections.Counter(k for s in kept for k in s.answer.leniency)
  unread = collections.Counter(k for s in kept for k in s.answer.unread)
  cut = collections.Counter(s.row["cut"] for s in kept if s.row.get("cut"))
  splits = sorted({split_of(s.row) for s in kept})
  return {
    "n": len(kept),
    "parse_failures": sum(
      count for reason, count in failures.items() if reason not in without_text
    ),
    "partly_read": sum(bool(s.answer.unread) and not s.failed for s in kept),
    "failed": sum(failures[reason] for reason in without_text),
    "split": "+".join(splits),
    "failure_reasons": dict(failures),
    "leniency": dict(leniency),
    "unread": dict(unread),
    "cut_off": dict(cut),
  }


def split_of(row: dict) -> str:
  """The split: the row's field, else the middle of its id."""
  if row.get("split"):
    return str(row["split"])
  parts = str(row["id"]).split("/")
  return parts[1] if len(parts) == 3 else "unknown"

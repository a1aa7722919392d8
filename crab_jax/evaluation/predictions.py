"""Prediction files that others wrote, as rows that the scorers take.

The official implementation writes one jsonl a task, an object a line: the
metadata of its test loader, "output" (the reference) and "predict". Its
lines have no id: they are joined with the records by order, after the counts
and, line by line, the references have been compared.
"""

import dataclasses
import pathlib
from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation import labels
from crab_jax.evaluation import scores

_PREFIX = "inference_"  # of the official file names


@dataclasses.dataclass(frozen=True)
class Imported:
  """Rows of one task, and in words how they came to their ids."""

  rows: list[dict]
  note: str


def is_official(rows: list[dict]) -> bool:
  """Whether lines come from the official implementation: "predict", no id."""
  return bool(rows) and all("predict" in r and "id" not in r for r in rows)


def from_official(
  task: str, lines: list[dict], records: Iterable | None = None
) -> Imported:
  """Gives the lines of an official file ids and references.

  A file may hold several tasks, as the official script writes them: lines of
  another `task_name` are left out and counted. With records the join is by
  order: as many lines as records, and equal references.

  Args:
    task: the task of the file.
    lines: its objects.
    records: `records.Record` of the test split in order, or None: the ids
      are made up from the order and the reference is "output" alone (no
      options, no masks).

  Raises:
    UserError: counts differ, or a line's reference is not its record's.
  """
  own = [line for line in lines if line.get("task_name", task) == task]
  others = len(lines) - len(own)
  note = f"{len(own)} lines, joined by order"
  if others:
    note += f"; {others} lines of other tasks left out"
  if records is None:
    rows = [_row(f"{task}/test/{i}", task, line) for i, line in enumerate(own)]
    return Imported(rows, note + "; no records to compare with")
  wanted = list(records)
  if len(own) != len(wanted):
    raise errors.UserError(
      f"{task}: {len(own)} lines but {len(wanted)} records: lines have no id,"
      " so they cannot be joined (was the file appended to by a second run?)"
    )
  rows = []
  for number, (line, record) in enumerate(zip(own, wanted, strict=True), 1):
    _compare(task, number, line, record)
    row = _row(record.id, task, line)
    rows.append(
      {**row, "reference": record.reference, "question": record.question}
    )
  return Imported(rows, note + "; references equal those of the records")


def _row(name: str, task: str, line: dict) -> dict:
  kept = ("split", "type", "relation", "a_obj")
  reference = {key: line[key] for key in kept if key in line}
  return {
    "id": name,
    "task": task,
    "prompt": line.get("instruction"),
    "text": line.get("predict"),
    "reference": {"text": line.get("output"), **reference},
    "error": None if line.get("predict") is not None else "missing",
  }


def _compare(task: str, number: int, line: dict, record) -> None:
  theirs, ours = line.get("output"), record.reference.get("text")
  if task in ("ms3", "s4", "arig"):  # a sentence of their own around a_obj
    theirs, ours = line.get("a_obj", ""), record.reference.get("a_obj", "")
  if labels.key(theirs) != labels.key(ours):
    raise errors.UserError(
      f"{task}: line {number} has the reference {str(theirs)[:80]!r}, record"
      f" {record.id} has {str(ours)[:80]!r}: the orders differ"
    )


def read_folder(folder: pathlib.Path, records_of=None) -> dict[str, Imported]:
  """The rows of every prediction file of a folder, ours or official.

  Args:
    folder: holds {task}.jsonl or inference_{task}.jsonl.
    records_of: task -> the records of its test split in order; None: official
      files are joined with nothing.

  Raises:
    UserError: no file, a broken file, or a join that fails.
  """
  found = {}
  for task in tasks.BY_NAME:
    for name in (f"{task}.jsonl", f"{_PREFIX}{task}.jsonl"):
      path = pathlib.Path(folder) / name
      if path.is_file():
        found[task] = _read(task, path, records_of)
        break
  if not found:
    raise errors.UserError(f"{folder} holds no predictions ({{task}}.jsonl)")
  return found


def _read(task: str, path: pathlib.Path, records_of) -> Imported:
  rows = scores.read_rows(path)
  if not is_official(rows):
    return Imported(rows, f"{len(rows)} rows with ids")
  records = records_of(task) if records_of else None
  return from_official(task, rows, records)

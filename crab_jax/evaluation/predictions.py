"""Prediction files that are already there, as rows that the scorers take.

The official implementation writes one jsonl a task, an object a line: the
metadata of its test loader, "output" (the reference) and "predict". Its
lines have no id: they are joined with the records by order, after the counts
and, line by line, the references have been compared.
"""

import dataclasses
from collections.abc import Sequence

from crab_jax import errors
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation.reading import choices
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import scores

_PREFIX = "inference_"  # of the official file names


@dataclasses.dataclass(frozen=True)
class Imported:
  """Rows of one task, in words how they came to their ids, and whose.

  Attributes:
    rows: as `scores` wants them.
    note: a sentence for the report.
    ours: False: lines of the official implementation.
  """

  rows: list[dict]
  note: str
  ours: bool = True


def is_official(rows: list[dict]) -> bool:
  """Whether lines come from the official implementation: "predict", no id."""
  return bool(rows) and all("predict" in r and "id" not in r for r in rows)


def from_official(
  task: tasks.Task, lines: list[dict], records: Sequence | None = None
) -> Imported:
  """Gives the lines of an official file ids and references.

  A file may hold several tasks, as the official script writes them: lines of
  another `task_name` are left out and counted. With records the join is by
  order: as many lines as records, and equal references.

  Args:
    task: the task of the file.
    lines: its objects.
    records: `records.Record` of the test split in order, or None: the ids
      are made up from the order, the reference is "output" alone (no masks)
      and options are those of the "instruction".

  Raises:
    UserError: counts differ, or a line's reference is not its record's.
  """
  own = [
    line for line in lines if line.get("task_name", task.name) == task.name
  ]
  others = len(lines) - len(own)
  note = f"{len(own)} lines without ids, joined by order"
  if others:
    note += f"; {others} lines of other tasks left out"
  if records is None:
    rows = [
      _row(f"{task.name}/test/{i}", task, line) for i, line in enumerate(own)
    ]
    note += "; no records to compare counts and references with"
    return Imported(rows, note, ours=False)
  # One line too many would shift all behind it to other clips.
  if len(own) != len(records):
    raise errors.UserError(
      f"{task.name}: {len(own)} lines but {len(records)} records: lines have no id,"
      " so they cannot be joined (was the file appended to by a second run?)"
    )
  rows = []
  for number, (line, record) in enumerate(zip(own, records, strict=True), 1):
    _compare(task, number, line, record)
    row = _row(record.id, task, line)
    reference = decode.reference_of(record)
    rows.append({**row, "reference": reference, "question": record.question})
  note += f"; count and references equal those of the {len(own)} records"
  return Imported(rows, note, ours=False)


def _row(name: str, task: tasks.Task, line: dict) -> dict:
  reference = {
    _annotated(task, key): line[key]
    for key in ("split", "type", "relation", "a_obj")
    if key in line
  }
  return {
    "id": name,
    "task": task.name,
    "prompt": line.get("instruction"),
    "question": _question(task, line),
    "text": line.get("predict"),
    "reference": {"text": line.get("output"), **reference},
    "error": None if line.get("predict") is not None else "missing",
  }


def _question(task: tasks.Task, line: dict) -> dict:
  """The options that a line's question names, of a task with options."""
  if "options" not in task.question_keys("test"):
    return {}
  options = choices.of_question(str(line.get("instruction") or ""))
  return {"options": list(options)} if options else {}


def _annotated(task: tasks.Task, key: str) -> str:
  """What the annotation calls a key of the official metadata."""
  longer = f"question_{key}"  # AVQA's "type" and "relation"
  return longer if longer in task.keeps else key


def _compare(task: tasks.Task, number: int, line: dict, record) -> None:
  theirs, ours = line.get("output"), record.reference.get("text")
  if "a_obj" in task.needs:  # a sentence of their own around it
    theirs, ours = line.get("a_obj", ""), record.reference.get("a_obj", "")
  if labels.key(theirs) != labels.key(ours):
    raise errors.UserError(
      f"{task.name}: line {number} has the reference {str(theirs)[:80]!r}, record"
      f" {record.id} has {str(ours)[:80]!r}: the orders differ"
    )


def from_ours(rows: list[dict], records: Sequence | None = None) -> Imported:
  """Our own rows; with records, those that are missing are added as wrong.

  Rows of clips that are not among the records are left out and counted.
  """
  note = f"{len(rows)} rows with ids"
  if records is None:
    return Imported(rows, note)
  expected = {record.id: decode.reference_of(record) for record in records}
  known = [row for row in rows if row.get("id") in expected]
  whole = accounting.with_missing(known, expected)
  if len(known) < len(rows):
    note += f"; {len(rows) - len(known)} of no record left out"
  if len(whole) > len(known):
    note += f"; {len(whole) - len(known)} records without a row count as wrong"
  return Imported(whole, note)


def find(
  folder: files.Path, table: tasks.Tasks, chosen: Sequence[str] | None = None
) -> dict[str, list[files.Path]]:
  """The prediction files of each task in a folder, ours and official ones.

  Args:
    folder: holds {task}.jsonl or inference_{task}.jsonl.
    table: the tasks.
    chosen: some of them; None: all that have a file.

  Raises:
    UserError: there is no file, or none of a chosen task.
  """
  found: dict[str, list[files.Path]] = {}
  for task in chosen or table:
    paths: list[files.Path] = [
      path
      for prefix in ("", _PREFIX)
      if (path := files.path(folder) / f"{prefix}{task}.jsonl").is_file()
    ]
    if paths:
      found[task] = paths
    elif chosen:
      raise errors.UserError(f"{folder} holds no {task}.jsonl")
  if not found:
    raise errors.UserError(f"{folder} holds no predictions ({{task}}.jsonl)")
  return found


def read(
  task: tasks.Task,
  paths: Sequence[files.Path],
  clips: held_out.Clips | None = None,
) -> Imported:
  """The rows of a task's prediction file.

  Args:
    task: its row of the table of tasks.
    paths: its files, of `find`.
    clips: the records to join and to compare with; None: there are none.

  Raises:
    UserError: there are two files, it is broken, or the join fails.
  """
  if len(paths) > 1:
    names = " and ".join(path.name for path in paths)
    raise errors.UserError(
      f"{paths[0].parent} holds both {names}: which one is to be scored? Keep"
      " one"
    )
  (path,) = paths
  rows = scores.read_rows(path)
  if not rows:
    raise errors.UserError(f"{path} holds no line")
  records = clips.of(task.name) if clips else None
  if clips is not None and not records:
    raise errors.UserError(
      f"the records hold no clips of {task.name}, {path} does"
    )
  if is_official(rows):
    return from_official(task, rows, records)
  if any("predict" in row and "id" not in row for row in rows):
    count = sum("id" not in row for row in rows)
    raise errors.UserError(
      f"{path}: {count} of {len(rows)} lines have no id: neither our file nor"
      " an official one"
    )
  return from_ours(rows, records)

"""Values by column -> rows, each checked for what its task needs.

A misspelt column is an error that names both; any other unknown column is kept
in `Row.meta`. What is wrong with a row is a `Fault`: the caller decides whether
one ends the work.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from crab_jax import errors
from crab_jax.annotation import cells
from crab_jax.annotation import rows
from crab_jax.data import tasks

_CELLS: dict[str, Callable[[Any], Any]] = {
  "start": cells.seconds,
  "end": cells.seconds,
  "events": cells.events,
  "answer": cells.label,
  "options": cells.listed,
  "exists": cells.boolean,
  "box": cells.box,
  "points": cells.points,
}
_TOO_SHORT = ("id",)  # `vid` and `uid` are columns of other sets


@dataclasses.dataclass(frozen=True)
class Fault:
  """Why a line of a source is no row."""

  where: str
  reason: str

  def __str__(self) -> str:
    return f"{self.where}: {self.reason}"


def check_columns(
  names: Iterable[str], where: str, own: Iterable[str] = ()
) -> None:
  """Checks the names of columns for spelling.

  Args:
    names: of a source.
    where: the source, for the message.
    own: names that are columns besides, such as keys of a task file.

  Raises:
    UserError: a name differs from a column by a letter, or in its case.
  """
  for name in names:
    if name in rows.COLUMNS or name in own:
      continue
    for known in rows.COLUMNS:
      if known == name.strip().lower() or (
        known not in _TOO_SHORT and _is_close(name.lower(), known)
      ):
        raise errors.UserError(
          f"{where}: there is no column {name!r}; do you mean {known!r}?"
          " (rename it if it is another thing)"
        )


def _is_close(one: str, other: str) -> bool:
  """Whether one edit, or two neighbours swapped, turn one into the other."""
  if abs(len(one) - len(other)) > 1:
    return False
  start = next(
    (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
    min(len(one), len(other)),
  )
  a, b = one[start:], other[start:]
  if len(a) == len(b):
    return a[1:] == b[1:] or (a[2:] == b[2:] and a[:2] == b[1::-1])
  return a[1:] == b or a == b[1:]


def parse(
  lines: Iterable[tuple[str, Mapping[str, Any]]],
  table: tasks.Tasks,
  task: str | None = None,
) -> tuple[list[rows.Row], list[Fault]]:
  """The rows of a source, and the lines that are none.

  Args:
    lines: (file and line, values by column).
    table: the tasks.
    task: of rows that name none.

  Raises:
    UserError: a column is misspelt.
  """
  found, faults = [], []
  checked: set[str] = set()
  ids: dict[str, str] = {}
  for number, (where, values) in enumerate(lines):
    new = values.keys() - checked
    check_columns(sorted(new), where, _own_columns(table))
    checked |= new
    try:
      row = _row(where, number, values, task or "")
      _check(row, table)
      if row.id and ids.setdefault(row.id, where) != where:
        raise ValueError(f"the id {row.id!r} is that of {ids[row.id]} too")
    except ValueError as error:
      faults.append(Fault(where, str(error)))
    else:
      found.append(row)
  return found, faults


def _own_columns(table: tasks.Tasks) -> set[str]:
  """Keys that rows of a task file name."""
  return {
    key
    for row in table.own
    for key in (*row.needs, *row.keeps, *row.question_keys("train").values())
  }


def _row(
  where: str, number: int, values: Mapping[str, Any], task: str
) -> rows.Row:
  """Raises ValueError, naming the column, for a cell that is no such value."""
  given = {k: v for k, v in values.items() if v is not None and v != ""}
  fields: dict[str, Any] = {"task": task, "media": {}, "meta": {}}
  for name, cell in given.items():
    try:
      if name in rows.MEDIA:
        fields["media"][name] = cells.text(cell)
      elif name == "label":
        fields["labels"] = cells.labels(cell)
      elif name == "mask":
        fields["mask"], fields["rle"] = cells.mask(cell)
      elif name == "frame":
        fields["frame"], fields["frame_second"] = cells.frame(cell)
      elif name in rows.COLUMNS:
        fields[name] = _CELLS.get(name, cells.text)(cell)
      else:
        fields["meta"][name] = cell
    except ValueError as error:
      raise ValueError(f"{name}: {error}") from None
  return rows.Row(where, number, **fields)


def _check(row: rows.Row, table: tasks.Tasks) -> None:
  """Raises ValueError for a row that lacks what its task needs."""
  if not row.task:
    raise ValueError("no task: give the column, or --task")
  if row.task not in table:
    raise ValueError(f"unknown task {row.task!r}; there are {', '.join(table)}")
  if row.split not in ("", *tasks.SPLITS):
    raise ValueError(f"split: it should be train, val or test, {row.split!r}")
  if row.start is not None and row.end is not None and row.end <= row.start:
    raise ValueError(f"end {row.end:g} is not behind start {row.start:g}")
  if row.box_format not in rows.BOX_FORMATS:
    raise ValueError(f"box_format: one of {', '.join(rows.BOX_FORMATS)}")
  task = table[row.task]
  if missing := missing_media(row, task):
    raise ValueError(f"{row.task} needs a column {' and '.join(missing)}")
  _require_label(row, task)


def missing_media(row: rows.Row, task: tasks.Task) -> list[str]:
  """Columns of media that a task needs and a row lacks."""
  needed = [column_of(key) for key in task.media]
  return [
    name
    for name in needed
    # A video brings its sound.
    if name not in row.media
    and not (name.startswith("audio") and sound_source(row, name))
  ]


def sound_source(row: rows.Row, column: str) -> str | None:
  """The video whose sound stands for an audio column; None: there is none."""
  video = column.replace("audio", "video")
  return video if video in row.media else None


def column_of(key: str) -> str:
  """The column of a media key: "video1_path" -> "video"."""
  name = key.removesuffix("_path").replace("visual", "image")
  return name.removesuffix("1")


def _require_label(row: rows.Row, task: tasks.Task) -> None:
  """Raises ValueError unless the row has what an answer is made of."""
  fields = task.question_keys("train")
  if "question" in fields and not row.question:
    raise ValueError(f"{task.name} needs a question")
  if "options" in fields and len(row.options) < 2:
    raise ValueError(f"{task.name} needs options, two or more")
  if "description" in fields and not (row.expression or row.object):
    raise ValueError(f"{task.name} needs an expression")
  if task.kind == "label" and not _label(row, task):
    several = " (one, not several)" if len(row.labels) > 1 else ""
    name = "answer" if "question" in fields else "label"
    raise ValueError(
      f"{task.name} needs {'an' * (name[0] == 'a') or 'a'} {name}{several}"
    )
  if task.family == "matching" and row.events:
    raise ValueError(
      f"{task.name} has several clips: events cannot tell of which they are;"
      " say it in hint"
    )
  if task.family == "matching" and _label(row, task) not in ("1", "2"):
    raise ValueError(f"the label of {task.name} is 1 or 2, got {row.label!r}")
  if task.kind == "events" and row.events is None and not row.labels:
    raise ValueError(f"{task.name} needs events")
  if task.kind == "caption" and not row.caption:
    raise ValueError(f"{task.name} needs a caption")
  there = row.exists is not False
  if task.kind == "existence" and row.exists is None:
    raise ValueError(f"{task.name} needs exists: true or false")
  placed = task.kind == "place" or (task.kind == "existence" and task.mask)
  if placed and there and not (row.box or row.mask or row.rle):
    raise ValueError(f"{task.name} needs a box or a mask")
  if placed and there and not (row.object or row.expression):
    raise ValueError(f"{task.name} needs an object")


def _label(row: rows.Row, task: tasks.Task) -> str:
  return row.answer or row.label if task.question_keys("train") else row.label

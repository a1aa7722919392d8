"""The files of predictions while they are written, by one process or several.

  {task}.jsonl                the rows of a task; one process writes them here
  {task}.process-{i}.jsonl    of several processes, what process i has answered
  run.json                    whose answers these are

Every row is flushed when it is there. A process that was stopped leaves at
most a line that is cut off, which is dropped when it starts again; what any
file holds is not decoded again, however many processes there are now. At the
end one process joins the files: nothing is lost, nothing repeated.
"""

import json
import pathlib
import re
from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import scores

_RUN = "run.json"
# A lone surrogate has no UTF-8; so written it is JSON's own escape for it.
_ERRORS = "backslashreplace"
_PART = re.compile(r"(\w+)\.process-[0-9]+\.jsonl")


def path_of(folder: pathlib.Path, task: str) -> pathlib.Path:
  """The file of all the rows of a task."""
  return folder / f"{task}.jsonl"


def _parts(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Task -> the files that several processes left, in their order."""
  found: dict[str, list[pathlib.Path]] = {}
  for path in sorted(folder.iterdir()):
    match = _PART.fullmatch(path.name)
    if match and match[1] in tasks.BY_NAME:
      found.setdefault(match[1], []).append(path)
  return found


def _all(folder: pathlib.Path, task: str) -> list[pathlib.Path]:
  whole = path_of(folder, task)
  return [whole] * whole.is_file() + _parts(folder).get(task, [])


def claim(folder: pathlib.Path, run: dict, first: bool) -> None:
  """Makes the folder that of one run.

  Args:
    folder: made if need be.
    run: what decides an answer: model, settings and records, plain JSON
      values. What is new in it (the records of another dataset) is added.
    first: whether this process is the one that writes it down.

  Raises:
    UserError: the folder holds the answers of another run.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / _RUN
  known = json.loads(path.read_text()) if path.is_file() else {}
  changed = [name for name in run if run[name] != known.get(name, run[name])]
  if changed:
    raise errors.UserError(
      f"{folder} holds answers of another run ({', '.join(changed)} differ):"
      " choose another --out, or delete the folder to decode anew"
    )
  if first and run.keys() - known.keys():
    _replace(path, json.dumps({**known, **run}, indent=1) + "\n")


def answered(folder: pathlib.Path) -> set[str]:
  """The ids of all rows of all files."""
  return {
    row["id"]
    for task in tasks.BY_NAME
    for path in _all(folder, task)
    for row in scores.read_rows(path)
  }


class Journal:
  """Appends the rows of one process to its files; a context manager."""

  def __init__(
    self, folder: pathlib.Path, process: int = 0, processes: int = 1
  ):
    """Opens nothing yet.

    Args:
      folder: of the predictions.
      process: this process.
      processes: how many there are.
    """
    self._folder = folder
    self._suffix = f".process-{process:05d}" if processes > 1 else ""
    self._files = {}

  def write(self, row: dict) -> None:
    """Appends a row to the file of its task."""
    task = row["task"]
    if task not in self._files:
      path = self._folder / f"{task}{self._suffix}.jsonl"
      if path.is_file():
        write_rows(path, scores.read_rows(path))  # a cut-off line is dropped
      self._files[task] = path.open("a", encoding="utf-8", errors=_ERRORS)
    self._files[task].write(_line(row))
    self._files[task].flush()

  def __enter__(self) -> "Journal":
    return self

  def __exit__(self, *_) -> None:
    for file in self._files.values():
      file.close()


def join(folder: pathlib.Path) -> None:
  """Puts what several processes wrote into one file a task.

  Rows stand in the order of the annotation, an id once. A stop in the middle
  leaves rows in two files at worst, and the next join makes them one.
  """
  for task in tasks.BY_NAME:
    paths = _all(folder, task)
    rows: dict[str, dict] = {}
    for path in paths:
      for row in scores.read_rows(path):
        rows.setdefault(row["id"], row)
    if paths:
      names = sorted(rows, key=accounting.place_of)
      write_rows(path_of(folder, task), [rows[name] for name in names])
    for path in paths:
      if path != path_of(folder, task):
        path.unlink()


def write_rows(path: pathlib.Path, rows: Iterable[dict]) -> None:
  """Writes a file of rows, whole or not at all."""
  _replace(path, "".join(map(_line, rows)))


def _line(row: dict) -> str:
  return json.dumps(row, ensure_ascii=False) + "\n"


def _replace(path: pathlib.Path, text: str) -> None:
  new = path.with_name(path.name + ".incomplete")
  new.write_text(text, encoding="utf-8", errors=_ERRORS)
  new.replace(path)

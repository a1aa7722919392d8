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
import re
from collections.abc import Iterable

from crab_jax import errors
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import scores

_RUN = "run.json"
_OF_MODEL = ("model", "network")  # what in it tells the model
_PART = re.compile(r"(\w+)\.process-[0-9]+\.jsonl")


def path_of(folder: files.Path, task: str) -> files.Path:
  """The file of all the rows of a task."""
  return folder / f"{task}.jsonl"


def _parts(
  folder: files.Path, table: tasks.Tasks
) -> dict[str, list[files.Path]]:
  """Task -> the files that several processes left, in their order."""
  found: dict[str, list[files.Path]] = {}
  for path in files.listing(folder):
    match = _PART.fullmatch(path.name)
    if match and match[1] in table:
      found.setdefault(match[1], []).append(path)
  return found


def _all(folder: files.Path, table: tasks.Tasks) -> dict[str, list[files.Path]]:
  """Task -> all its files; a task without any is left out."""
  parts, found = _parts(folder, table), {}
  for task in table:
    whole = path_of(folder, task)
    found[task] = [whole] * whole.is_file() + parts.get(task, [])
  return {task: paths for task, paths in found.items() if paths}


def claim(folder: files.Path, run: dict, first: bool) -> None:
  """Makes the folder that of one run.

  Args:
    folder: made if need be.
    run: what decides an answer: model, settings and records, plain JSON
      values. What is new in it (the records of another dataset) is added.
    first: whether this process is the one that writes it down.

  Raises:
    UserError: the folder holds the answers of another run.
  """
  files.make_folder(folder)
  path = folder / _RUN
  known = json.loads(path.read_text()) if path.is_file() else {}
  changed = [name for name in run if run[name] != known.get(name, run[name])]
  if changed:
    raise errors.UserError(
      f"{folder} holds answers of another run ({', '.join(changed)} differ):"
      " choose another --out, or delete the folder to decode anew"
    )
  if first and run.keys() - known.keys():
    files.write_json(path, {**known, **run})


def drop_of_other_model(folder: files.Path, run: dict) -> bool:
  """Removes a folder if another model answered; True: it did.

  Args:
    folder: need not be there.
    run: as `claim` takes it; parameters or network of another model differ.
  """
  path = folder / _RUN
  known = json.loads(path.read_text()) if path.is_file() else {}
  if all(run[name] == known.get(name, run[name]) for name in _OF_MODEL):
    return False
  files.remove(folder)
  return True


def answered(folder: files.Path, table: tasks.Tasks) -> set[str]:
  """The ids of all rows of all files."""
  return {
    row["id"]
    for paths in _all(folder, table).values()
    for path in paths
    for row in scores.read_rows(path)
  }


class Journal:
  """Appends the rows of one process to its files."""

  def __init__(self, folder: files.Path, process: int = 0, processes: int = 1):
    """Writes nothing yet.

    Args:
      folder: of the predictions.
      process: this process.
      processes: how many there are.
    """
    self._folder = folder
    self._suffix = f".process-{process:05d}" if processes > 1 else ""
    self._begun: set[files.Path] = set()

  def write(self, row: dict) -> None:
    """Appends a row to the file of its task."""
    path = self._folder / f"{row['task']}{self._suffix}.jsonl"
    if path not in self._begun and path.is_file():
      write_rows(path, scores.read_rows(path))  # a cut-off line is dropped
    self._begun.add(path)
    files.append(path, files.json_line(row))


def join(folder: files.Path, table: tasks.Tasks) -> None:
  """Puts what several processes wrote into one file a task.

  Rows are in the order of the annotation, an id once. A stop in the middle
  leaves rows in two files at worst, and the next join makes them one.
  """
  for task, paths in _all(folder, table).items():
    rows: dict[str, dict] = {}
    for path in paths:
      for row in scores.read_rows(path):
        rows.setdefault(row["id"], row)
    names = sorted(rows, key=accounting.place_of)
    # Before the parts go: a stop between leaves rows twice, never none.
    write_rows(path_of(folder, task), [rows[name] for name in names])
    for path in paths:
      if path != path_of(folder, task):
        files.remove(path)


def write_rows(path: files.Path, rows: Iterable[dict]) -> None:
  """Writes a file of rows, whole or not at all."""
  files.write_json_lines(path, rows)

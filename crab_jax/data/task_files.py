"""Rows of the table of tasks as JSON: a task file, and what is stored of one.

The form of a row is described in `tasks`. The same form lies beside prepared
records and in checkpoints, and tells what they were made with.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.data import task_checks
from crab_jax.data import tasks

FILE = "tasks.json"  # in a checkpoint

_COLUMNS = {  # column -> its field, of those that are keys of a row
  field.name: field
  for field in dataclasses.fields(tasks.Task)
  if field.name not in ("name", "stream")
}
_LISTS = ("media", "test_media", "lower", "needs", "keeps", "classes")


def load(path: files.Path, scoring: task_checks.Scoring) -> tasks.Tasks:
  """The table with the rows of a task file.

  Raises:
    UserError: no such file, no JSON, or a row that is none; the message names
      the file, the task and the key.
  """
  try:
    text = path.read_text(encoding="utf-8")
    # json keeps the last of two rows with one name and says nothing.
    tree = json.loads(text, object_pairs_hook=_each_once)
  except FileNotFoundError:
    raise errors.UserError(f"task file {path} does not exist") from None
  except (OSError, ValueError) as error:
    raise errors.UserError(f"task file {path} is no JSON: {error}") from None
  if not isinstance(tree, dict) or not tree:
    raise errors.UserError(f"{path} must be a JSON object: task name -> row")
  for name in tree:
    if name in tasks.Tasks():
      raise errors.UserError(
        f"{path}: task {name}: a built-in task has this name; take another"
      )
  table = read_table(tree, str(path))
  for task in table.own:
    task_checks.check_scoring(task, scoring, f"{path}: task {task.name}")
  return table


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """The object of its pairs. Raises ValueError if a key is there twice."""
  found: dict[str, Any] = {}
  for key, value in pairs:
    if key in found:
      raise ValueError(f'the key "{key}" is there twice')
    found[key] = value
  return found


def read_table(tree: Mapping[str, Any], origin: str) -> tasks.Tasks:
  """The table of rows as `to_json` gives them.

  Args:
    tree: name -> row; of a built-in task that of this version.
    origin: where it comes from, for messages.

  Raises:
    UserError: a row is none, or a built-in one differs.
  """
  own, built_in = [], tasks.Tasks()
  for name, row in tree.items():
    where = f"{origin}: task {name}"
    task = _typed(name, row, where)
    if name in built_in:
      task = dataclasses.replace(task, stream=built_in[name].stream)
      tasks.require_same(task, built_in[name], origin, "this version")
    else:
      task_checks.check(task, where)
      own.append(task)
  return tasks.Tasks(tuple(own))


def read(path: files.Path) -> tasks.Tasks:
  """The table in a checkpoint's `FILE`; without it only the built-in rows.

  Raises:
    UserError: it is damaged.
  """
  if not path.is_file():
    return tasks.Tasks()
  try:
    return read_table(json.loads(path.read_text(encoding="utf-8")), str(path))
  except ValueError as error:
    raise errors.UserError(f"{path} is no JSON: {error}") from error


def to_json(table: Mapping[str, tasks.Task]) -> dict[str, dict[str, Any]]:
  """Name -> row, without the columns that have their default."""
  return {name: _row(task) for name, task in table.items()}


def _row(task: tasks.Task) -> dict[str, Any]:
  row = {}
  for name, field in _COLUMNS.items():
    value = getattr(task, name)
    if value != field.default:
      row[name] = list(value) if isinstance(value, tuple) else value
  if task.fields:
    row["fields"] = {field: list(keys) for field, *keys in task.fields}
  return row


def _typed(name: str, row: Any, where: str) -> tasks.Task:
  """A row whose values have the types of its columns."""
  if not isinstance(row, dict):
    raise errors.UserError(f"{where}: a row must be a JSON object")
  if unknown := [key for key in row if key not in _COLUMNS]:
    raise errors.UserError(
      f'{where}: unknown key "{unknown[0]}"; there are {", ".join(_COLUMNS)}'
    )
  values = {"reference": "", **row}  # needed only where there is a test.json
  for key, field in _COLUMNS.items():
    if key not in values and field.default is dataclasses.MISSING:
      raise errors.UserError(f'{where}: lacks the key "{key}"')
  for key, value in values.items():
    try:
      values[key] = _READERS.get(key, _text)(value)
    except ValueError as error:
      raise errors.UserError(f'{where}: "{key}" {error}') from None
  return tasks.Task(name=name, **values)


def _text(value: Any) -> str:
  if not isinstance(value, str):
    raise ValueError(f"must be a string, it is {json.dumps(value)}")
  return value


def _texts(value: Any) -> tuple[str, ...]:
  if not isinstance(value, list):
    raise ValueError(f"must be a list of strings, it is {json.dumps(value)}")
  return tuple(map(_text, value))


def _whole_number(value: Any) -> int:
  # `True` is an int in Python, and JSON has true.
  if not isinstance(value, int) or isinstance(value, bool) or value < 1:
    raise ValueError(f"must be a whole number from 1, it is {value!r}")
  return value


def _truth(value: Any) -> bool:
  if not isinstance(value, bool):
    raise ValueError(f"must be true or false, it is {json.dumps(value)}")
  return value


def _fields(value: Any) -> tuple[tuple[str, str, str], ...]:
  """Of {"question": "asked"} or {"question": ["asked", "asked_in_test"]}."""
  if not isinstance(value, dict):
    raise ValueError(f"must be an object, it is {json.dumps(value)}")
  found = []
  for field, keys in value.items():
    both = [keys, keys] if isinstance(keys, str) else keys
    if not isinstance(both, list) or len(both) != 2:
      raise ValueError(f'must give "{field}" a key, or a list of two')
    found.append((field, *map(_text, both)))
  return tuple(found)


# Column -> what reads its JSON value, or raises ValueError; else it is a text.
_READERS = {
  **dict.fromkeys((*_LISTS, "templates"), _texts),
  "fields": _fields,
  "frames": _whole_number,
  "has_test": _truth,
  "evaluated": _truth,
}

"""The wording around the media: system turn, lead-in and question of a task.

`prompts.json` beside this file is our own, short wording. A user's file of the
same form replaces it as a whole; whoever evaluates a published adapter takes
its authors' exact strings there:

  {"system": "...",
   "tasks": {"avqa": {"lead_in": "...", "question": "... {question} ..."}}}

Placeholders of a question are the fields of `Record.question`: {question},
{options} (in Python's own formatting, as the official code does) and
{description}. A literal brace is doubled, as in Python's str.format.
"""

import dataclasses
import json
import pathlib
import string
from collections.abc import Mapping

from crab_jax import errors
from crab_jax import files
from crab_jax.data import tasks

_OURS = pathlib.Path(__file__).with_name("prompts.json")


@dataclasses.dataclass(frozen=True)
class Prompt:
  """The text of one task: what stands before and behind its media."""

  lead_in: str
  question: str  # with placeholders

  def ask(self, fields: Mapping[str, object]) -> str:
    """The question of one record, its placeholders filled in.

    Args:
      fields: `Record.question`.

    Raises:
      ValueError: a field is missing.
    """
    try:
      return self.question.format(**fields)
    except KeyError as error:
      raise ValueError(f"the question needs the field {error}") from error


@dataclasses.dataclass(frozen=True)
class Prompts:
  """The texts of all tasks."""

  system: str
  tasks: dict[str, Prompt]


def load(path: str | None, table: tasks.Tasks) -> Prompts:
  """The prompts of a file; None: ours. Rows of one's own bring their wording.

  Args:
    path: a prompt file, or None; what it says of a task wins over its row.
    table: the tasks.

  Raises:
    UserError: the file is missing, is no such JSON, lacks a task, has an
      unknown key, or a question has another placeholder than its task.
  """
  file = _OURS if path is None else files.path(path)
  try:
    tree = json.loads(file.read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise errors.UserError(f"prompt file {file} does not exist") from None
  except ValueError as error:
    raise errors.UserError(f"prompt file {file} is no JSON: {error}") from None
  _expect_keys(tree, ("system", "tasks"), str(file))
  said = tree["tasks"]
  if isinstance(said, dict):
    said = {
      **said,
      # The file wins, as it may hold the exact strings of a published adapter.
      **{n: t for n, t in _of_rows(table).items() if n not in said},
    }
  _expect_keys(said, table, f'{file}: "tasks"')
  _expect_text(tree["system"], f'{file}: "system"')
  texts = {}
  for name, fields in said.items():
    where = f"{file}: task {name}"
    _expect_keys(fields, ("lead_in", "question"), where)
    for key, value in fields.items():
      _expect_text(value, f"{where}: {key}")
    check_placeholders(fields["question"], table[name], where)
    texts[name] = Prompt(**fields)
  return Prompts(tree["system"], texts)


def _of_rows(table: tasks.Tasks) -> dict[str, dict[str, str | None]]:
  """The wording that rows of the table bring, as a prompt file has it."""
  return {
    task.name: {"lead_in": task.lead_in, "question": task.question}
    for task in table.own
  }


def _expect_keys(tree, keys, where: str) -> None:
  """Raises unless `tree` is an object with exactly those keys."""
  if not isinstance(tree, dict):
    raise errors.UserError(f"{where} must be a JSON object")
  if missing := [key for key in keys if key not in tree]:
    raise errors.UserError(f"{where} lacks {', '.join(missing)}")
  if unknown := [key for key in tree if key not in keys]:
    raise errors.UserError(f"{where} has the unknown {', '.join(unknown)}")


def _expect_text(value, where: str) -> None:
  if not isinstance(value, str):
    raise errors.UserError(f"{where} must be a string, got {value!r}")


def check_placeholders(question: str, task: tasks.Task, where: str) -> None:
  """Raises unless the question has the placeholders of its task, plainly."""
  known = [field for field, _, _ in task.fields]
  try:
    pieces = list(string.Formatter().parse(question))
  except ValueError as error:
    raise errors.UserError(f"{where}: question: {error}") from None
  used = [piece[1] for piece in pieces if piece[1] is not None]
  plain = all(not piece[2] and not piece[3] for piece in pieces)
  if unknown := [name for name in used if name not in known]:
    raise errors.UserError(
      f"{where}: unknown placeholder {{{unknown[0]}}} in its question; known:"
      f" {', '.join(known) or 'none'}"
    )
  if not plain:
    raise errors.UserError(
      f"{where}: a placeholder takes no format: {question!r}"
    )
  if missing := [name for name in known if name not in used]:
    raise errors.UserError(
      f"{where}: its question lacks the placeholder {{{missing[0]}}}"
    )

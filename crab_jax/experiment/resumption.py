"""What a stage was begun with, and what may differ where it goes on.

Beside every state a checkpoint notes the table of tasks, the base and the
settings that decide what is learnt. A stage goes on with the same ones; a
difference is an error that names it, unless --allow_change does. What was
changed is noted too, and shown in the report.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.experiment import parameters
from crab_jax.experiment import setup

BASE = "base"  # the name of the parameters that a run began with
_TOKENIZER = "tokenizer"
# Keys of the note.
_TASKS, _SETTINGS, _CHANGES = "tasks", "settings", "changes"
# Files that `Data` names are compared by content: paths differ between hosts.
_FILES = ("prompts", "chat_template")
_NOTED = (
  "Stage.steps",
  "Stage.trains",
  "Stage.mixture",
  "Stage.accumulate",
  "Stage.targets",
  "Data.seconds_per_pair",
  "Data.true_seconds",
  "Data.positions_per_second",
)
Note = Mapping[str, Any]


def settings(
  experiment: configs.Experiment,
  stage: configs.Stage,
  workspace: setup.Workspace,
  base: str,
) -> dict[str, Any]:
  """Name -> JSON value of all that decides what a stage learns.

  Devices, remat and dtypes of computing are not among it: a run may move.

  Args:
    experiment: of the stage.
    stage: the stage.
    workspace: has the tokenizer.
    base: see `parameters.origin`.
  """
  model, data = parameters.stage_model(experiment, stage), experiment.data
  adapter = {} if model.adapter is None else model.adapter.named()
  rows = dataclasses.replace(stage.rows, waiting=1)  # of the reader alone
  parts = model.network | adapter | stage.optimizer.named() | rows.named()
  named = stage.named() | data.named()
  return {
    BASE: base,
    _TOKENIZER: workspace.tokenizer.fingerprint(),
    "Experiment.seed": experiment.seed,
    **parts,
    **{name: named[name] for name in _NOTED},
    **{f"Data.{name}": _digest(getattr(data, name)) for name in _FILES},
  }


def _digest(path: str | None) -> str | None:
  if path is None:
    return None
  return hashlib.sha256(files.path(path).read_bytes()).hexdigest()


def check_names(
  experiment: configs.Experiment,
  workspace: setup.Workspace,
  allowed: Sequence[str],
) -> None:
  """Checks what --allow_change names.

  Raises:
    UserError: no stage has a setting, or a class of them, of a name.
  """
  known = {
    name
    for stage in experiment.stages
    for name in settings(experiment, stage, workspace, "")
  }
  for name in allowed:
    if not any(_covers(name, setting) for setting in known):
      raise errors.UserError(
        f"--allow_change={name}: a checkpoint notes no such setting; it may be"
        f" a class (ILora), a field of it (ILora.alpha), {BASE} or {_TOKENIZER}"
      )


def _covers(allowed: str, setting: str) -> bool:
  return setting == allowed or setting.startswith(f"{allowed}.")


def note(
  before: Note | None,
  now: dict[str, Any],
  table: tasks.Tasks,
  folder: files.Path,
  allowed: Sequence[str],
) -> dict[str, Any]:
  """What the checkpoints of a stage note from here on.

  Args:
    before: the note of the newest checkpoint; None: the stage begins.
    now: of `settings`.
    table: the tasks.
    folder: of the checkpoints, for errors.
    allowed: names of settings, or of their classes, that may differ.

  Raises:
    UserError: tasks or settings differ from those of the checkpoint.
  """
  changes: list[str] = []
  if before is not None:
    _require_same_tasks(before, table, folder)
    changes = list(before.get(_CHANGES, ()))
    new = _changes(before, now, folder, allowed)
    print("".join(f"changed: {change}\n" for change in new), end="", flush=True)
    changes += new
  return {
    _TASKS: task_files.to_json(table),
    _SETTINGS: now,
    _CHANGES: changes,
  }


def changes(note: Note) -> list[str]:
  """Each setting that was changed while a stage trained, as a sentence."""
  return list(note[_CHANGES])


def _changes(
  before: Note, now: dict[str, Any], folder: files.Path, allowed: Sequence[str]
) -> list[str]:
  if _SETTINGS not in before:
    print(f"{folder}: an earlier version noted no settings to compare with")
    return []
  then = before[_SETTINGS]
  names = [n for n in {**then, **now} if then.get(n) != now.get(n)]
  refused = [n for n in names if not any(_covers(a, n) for a in allowed)]
  if refused:
    said = "; ".join(_difference(name, then, now) for name in refused)
    raise errors.UserError(
      f"{folder} was begun with other settings: {said}: set them back, start in"
      " another --workdir, or go on with"
      f" --allow_change={','.join(refused)}"
    )
  return [_difference(name, then, now) for name in names]


def _difference(name: str, then: Note, now: Note) -> str:
  if name == BASE:
    return "base was another one"
  if name == _TOKENIZER:
    return "tokenizer was another one"
  return f"{name} was {then.get(name)!r} and is {now.get(name)!r}"


def _require_same_tasks(
  before: Note, table: tasks.Tasks, folder: files.Path
) -> None:
  """Raises UserError unless a stage goes on with the tasks that it began with.

  Not even another task may come: batches carry numbers by the table.
  """
  here, there = f"the checkpoint {folder}", "the records and the task file"
  # Earlier versions, which knew the built-in tasks alone, noted none.
  saved = task_files.read_table(before.get(_TASKS, {}), here)
  saved.joined(table, here, there)
  names = [{task.name for task in rows.own} for rows in (saved, table)]
  for name in sorted(names[0] ^ names[1]):
    has, lacks = (here, there) if name in names[0] else (there, here)
    raise errors.UserError(
      f"task {name} is in {has} and not in {lacks}: go on with the same tasks,"
      " or start in another --workdir"
    )

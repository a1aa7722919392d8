"""The scores of several tasks, each for itself.

What one task lacks (its true masks, a readable reference, a whole file) never
costs the others their scores: the sheet says which tasks have none, and why.
"""

import dataclasses
import functools
from collections.abc import Callable

from crab_jax import errors
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import scores

# What cut an answer off (`decode.row`) -> its name for people.
_LIMITS = {
  "max_new_tokens": "Evaluation.max_new_tokens",
  "context": "the model's context",
}


@dataclasses.dataclass(frozen=True)
class Sheet:
  """What was scored and what was not.

  Attributes:
    scored: task -> its score, in the order in which they were tried.
    unscored: task -> why it has no score.
  """

  scored: dict[str, scores.TaskScore] = dataclasses.field(default_factory=dict)
  unscored: dict[str, str] = dataclasses.field(default_factory=dict)

  def attempt(self, task: str, score: Callable[[], scores.TaskScore]) -> None:
    """Adds the score of a task, or the UserError that it ends with."""
    try:
      self.scored[task] = score()
    except errors.UserError as error:
      self.unscored[task] = str(error)

  def require_any(self) -> None:
    """Raises UserError, with every reason, unless a task has a score."""
    if not self.scored and self.unscored:
      raise errors.UserError("; ".join(self.unscored.values()))

  @property
  def remarks(self) -> list[str]:
    """What was not scored, in sentences: whole tasks, then rows of others."""
    whole = [f"{task} is not scored: {w}" for task, w in self.unscored.items()]
    parts = [line for score in self.scored.values() for line in score.remarks]
    return whole + parts

  @property
  def notes(self) -> list[str]:
    """Which answers were ended by a limit, in sentences: most lack their tag."""
    found: dict[str, list[str]] = {}
    for task, score in self.scored.items():
      for limit, count in score.details.get("cut_off", {}).items():
        found.setdefault(limit, []).append(
          f"{task} {count} of {len(score.rows)}"
        )
    return [
      f"answers cut off by {_LIMITS.get(limit, limit)}: {', '.join(counts)}"
      for limit, counts in found.items()
    ]


def of_folder(
  predictions: files.Path, table: tasks.Tasks, lookup=None, expected=None
) -> Sheet:
  """Scores every {task}.jsonl of a folder, in the canonical order.

  Args:
    predictions: the folder.
    table: the tasks; files of others are left alone.
    lookup: as in `scores.score_rows`.
    expected: task -> {id: reference} of the records that should be there;
      those that are not are scored as missing. None: not checked.

  Raises:
    UserError: the folder holds no file of a task, or none can be scored.
  """
  sheet = Sheet()
  for name, task in table.items():
    path = files.path(predictions) / f"{name}.jsonl"
    if path.is_file():
      own = (expected or {}).get(name, {})
      sheet.attempt(name, functools.partial(_score, task, path, own, lookup))
  sheet.require_any()
  if not sheet.scored:
    raise errors.UserError(
      f"{predictions} holds no predictions ({{task}}.jsonl)"
    )
  return sheet


def _score(
  task: tasks.Task, path: files.Path, expected: dict[str, dict], lookup
) -> scores.TaskScore:
  rows = accounting.with_missing(scores.read_rows(path), expected)
  return scores.score_rows(task, rows, lookup)

"""A folder of prepared records, and the table of the tasks that it holds."""

import dataclasses
import json

from crab_jax import errors
from crab_jax import files
from crab_jax.data import records
from crab_jax.data import tasks

_INFO = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A folder of prepared records.

  Attributes:
    root: the folder.
    table: the tasks; those of the records are among them.
  """

  root: files.Path
  table: tasks.Tasks

  def splits(self) -> dict[str, dict[str, int]]:
    """Task -> split -> number of records, in the order of the table."""
    found = {}
    for task in self.table:
      info = records.folder(self.root, task) / _INFO
      if info.is_file():
        found[task] = _split_sizes(info)
    return found

  def __str__(self) -> str:
    return str(self.root)


def read(root: files.Path | str, given: tasks.Tasks | None = None) -> Prepared:
  """Opens a folder of prepared records.

  Args:
    root: the folder.
    given: the table that the command was given; None: that of the records.

  Raises:
    UserError: the folder holds no finished preparation.
  """
  root = files.path(root)
  if not (root / records.SUMMARY).is_file():
    raise errors.UserError(
      f"{root} holds no finished preparation ({records.SUMMARY} is missing):"
      " run python -m crab_jax.prepare"
    )
  return Prepared(root, given or tasks.Tasks())


def _split_sizes(info: files.Path) -> dict[str, int]:
  """Split -> number of records, from a dataset_info.json."""
  rows = json.loads(info.read_text())["splits"]
  sizes = {row["name"]: sum(map(int, row["shardLengths"])) for row in rows}
  return {name: sizes[name] for name in tasks.SPLITS if name in sizes}

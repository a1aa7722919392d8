"""A folder of prepared records, and the table of the tasks that it holds."""

import dataclasses
import json
from collections.abc import Container

from crab_jax import errors
from crab_jax import files
from crab_jax.data import metadata
from crab_jax.data import records
from crab_jax.data import task_files
from crab_jax.data import tasks


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
      info = records.folder(self.root, task) / metadata.INFO
      if files.is_file(info):
        found[task] = _split_sizes(info)
    return found

  def __str__(self) -> str:
    return str(self.root)


def read(root: files.Path | str, given: tasks.Tasks | None = None) -> Prepared:
  """Opens a folder of prepared records.

  Args:
    root: the folder.
    given: the table of the command's task file; None: it has none.

  Raises:
    UserError: the folder holds no finished preparation, or a task of it
      differs from that of the task file or of this version.
  """
  root = files.path(root)
  if not (root / records.SUMMARY).is_file():
    raise errors.UserError(
      f"{root} holds no finished preparation ({records.SUMMARY} is missing):"
      " run python -m crab_jax.prepare"
    )
  table = rows(root)
  if given is not None:
    table = table.joined(given, f"the records {root}", "the task file")
  return Prepared(root, table)


def rows(root: files.Path, without: Container[str] = ()) -> tasks.Tasks:
  """The table of the rows that the datasets of a folder were prepared by.

  Args:
    root: the folder; it may be empty.
    without: names of datasets that are not looked at.

  Raises:
    UserError: a row is damaged, missing, or differs from that of this version.
  """
  table = tasks.Tasks()
  for folder in files.listing(root / records.NAME):
    own = records.folder(root, folder.name)
    # Without it a dataset is being made, or was interrupted.
    if folder.name in without or not (own / metadata.INFO).is_file():
      continue
    row = own / metadata.ROW
    if not row.is_file() and folder.name not in table:
      raise errors.UserError(
        f"{root} holds records of {folder.name} without their row of the"
        f" table of tasks ({row} is missing): prepare {folder.name} again"
      )
    # Earlier versions, which knew the built-in tasks alone, wrote no row.
    table = table.joined(task_files.read(row), str(row), str(row))
  return table


def _split_sizes(info: files.Path) -> dict[str, int]:
  """Split -> number of records, from a dataset_info.json."""
  rows = json.loads(info.read_text())["splits"]
  sizes = {row["name"]: sum(map(int, row["shardLengths"])) for row in rows}
  return {name: sizes[name] for name in tasks.ALL_SPLITS if name in sizes}

"""The held-out clips: which records are decoded, read when they are needed.

A test set of AV-UIE v2 does not fit into memory with its media, so a clip is
the number of a record on disk here, which is read when it is asked for.
"""

import bisect
import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import overload

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import tasks


def splits(
  prepared: prepared_records.Prepared, config: configs.Evaluation
) -> dict[str, str]:
  """Task -> the split to decode: test, or val where there is no test."""
  found = {}
  for task, sizes in prepared.splits().items():
    named = config.tasks is not None and task in config.tasks
    asked = prepared.table[task].evaluated and config.tasks is None
    if not (named or asked):
      continue
    held = [name for name in ("test", "val") if sizes.get(name)]
    if held:
      found[task] = held[0]
  return found


@dataclasses.dataclass(frozen=True)
class Clips(Sequence[records.Record]):
  """Records by index, read from disk at every access.

  Attributes:
    table: the tasks.
    sources: task -> its records, in the order of the annotation.
    keys: (task, index) of each clip.
  """

  table: tasks.Tasks
  sources: dict[str, sources.RecordSource]
  keys: tuple[tuple[str, int], ...]

  def __len__(self) -> int:
    return len(self.keys)

  @overload
  def __getitem__(self, number: int) -> records.Record: ...

  @overload
  def __getitem__(self, number: slice) -> "Clips": ...

  def __getitem__(self, number):
    """The record of a clip, or some of the clips.

    Raises:
      UserError: the bytes of the record are damaged.
    """
    if isinstance(number, slice):
      return dataclasses.replace(self, keys=self.keys[number])
    return self._read(*self.keys[number])

  def _read(self, task: str, index: int) -> records.Record:
    try:
      return self.sources[task][index]
    except samples.SampleError as error:
      raise errors.UserError(f"{error}; prepare {task} again") from error

  def share(self, index: int, count: int) -> "Clips":
    """Every `count`-th clip from `index` on: what one process decodes."""
    return self[index::count]

  def of(self, *names: str) -> "Clips":
    """The clips of some tasks."""
    own = tuple(key for key in self.keys if key[0] in names)
    return dataclasses.replace(self, keys=own)

  def without(self, done: set[str]) -> "Clips":
    """The clips whose id is not among `done`; reads all if there is any."""
    # Ids are inside the records: to compare them reads each from disk.
    if not done:
      return self
    remaining = [key for key in self.keys if self._read(*key).id not in done]
    return dataclasses.replace(self, keys=tuple(remaining))

  def count(self, task: str) -> int:
    """How many clips of a task there are."""
    return sum(key[0] == task for key in self.keys)

  def find(self, name: str) -> records.Record | None:
    """The record of an id, "{task}/{split}/{row}"; None if there is none.

    A few reads: the rows of a source ascend.
    """
    task, _, row = name.partition("/")
    row = row.rpartition("/")[2]
    if task not in self.sources or not row.isdecimal():
      return None
    source = self.sources[task]
    index = bisect.bisect_left(
      range(len(source)), int(row), key=lambda i: self._read(task, i).row
    )
    record = self._read(task, index) if index < len(source) else None
    return record if record is not None and record.id == name else None


def clips(
  prepared: prepared_records.Prepared, config: configs.Evaluation
) -> Clips:
  """The clips to decode, at most `config.limit` of each dataset.

  Raises:
    UserError: no records of the chosen datasets, or one is unknown.
  """
  prepared.table.require(config.tasks or (), "--tasks")
  found = splits(prepared, config)
  if not found:
    wanted = ", ".join(config.tasks or ()) or "any dataset"
    raise errors.UserError(f"{prepared} has no test or val records of {wanted}")
  return of_splits(prepared, found, config.limit)


def unified(
  prepared: prepared_records.Prepared, config: configs.Evaluation
) -> Clips:
  """The scenes that every task asks about; none where they are not wanted."""
  chosen = {
    task: tasks.UNIFIED
    for task, sizes in prepared.splits().items()
    if config.unified
    and sizes.get(tasks.UNIFIED)
    and (config.tasks is None or task in config.tasks)
  }
  return of_splits(prepared, chosen, config.limit)


def of_splits(
  prepared: prepared_records.Prepared,
  chosen: Mapping[str, str],
  limit: int | None = None,
) -> Clips:
  """The clips of given splits.

  Args:
    prepared: the records.
    chosen: task -> split.
    limit: clips a task at most; None: all.
  """
  found = {
    task: sources.RecordSource(prepared.root, task, split)
    for task, split in chosen.items()
  }
  keys = tuple(
    (task, index)
    for task, source in found.items()
    for index in range(min(len(source), limit or len(source)))
  )
  return Clips(prepared.table, found, keys)

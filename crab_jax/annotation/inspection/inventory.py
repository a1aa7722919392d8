"""What of a set's files is there: counted, and what is missing named."""

import collections
import dataclasses
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from crab_jax import configs
from crab_jax import files
from crab_jax.data import annotations
from crab_jax.data import assembly
from crab_jax.data import records
from crab_jax.data import statuses
from crab_jax.data import tasks

_DIGITS = re.compile(r"\d+")
_SAMPLE = 3  # rows of a split that are decoded, for time and size


@dataclasses.dataclass
class Inventory:
  """One split of one set.

  Attributes:
    task, split: which.
    rows: of its annotation file.
    unusable: reason -> rows that cannot be used whatever the files.
    found, missing, empty: media files, each counted once.
    masks_missing: rows whose true mask is not there.
    size: bytes of the files that are there.
    seconds, record: of one row of the sample; None: no row could be made.
    failures: reasons of sampled rows that no record could be made of.
  """

  task: str
  split: str
  rows: int = 0
  unusable: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  found: int = 0
  missing: list[str] = dataclasses.field(default_factory=list)
  empty: list[str] = dataclasses.field(default_factory=list)
  masks_missing: int = 0
  size: int = 0
  seconds: float | None = None
  record: float | None = None
  failures: list[str] = dataclasses.field(default_factory=list)

  @property
  def complete(self) -> bool:
    """Whether nothing is missing or doubtful."""
    return not (
      self.unusable or self.missing or self.empty or self.masks_missing
      or self.failures
    )  # fmt: skip


def take(
  task: tasks.Task, split: str, rows: list, source: files.Path
) -> Inventory:
  """The inventory of a split."""
  found = Inventory(task.name, split, len(rows))
  seen: set[str] = set()
  usable = []
  for number, values in enumerate(rows):
    try:
      row = annotations.parse(task, split, number, values)
    except statuses.RecordError as error:
      found.unusable[f"{error.status}: {error.reason}"] += 1
      continue
    except Exception as error:  # no annotation may end a check
      found.unusable[f"{type(error).__name__}: {error}"] += 1
      continue
    paths = [path for _, path in row.media]
    for path in paths:
      if path not in seen:
        seen.add(path)
        _look(found, source, path)
    if row.mask is not None and _wants_mask(task, row.reference):
      found.masks_missing += files.stamp(source / row.mask) is None
    if all(files.stamp(source / path) for path in paths):
      usable.append((number, values))
  _sample(found, task, split, usable, source)
  return found


def _wants_mask(task: tasks.Task, reference: Mapping[str, Any]) -> bool:
  """Whether a row has an object, so that a mask of it should be there."""
  if task.kind != "existence":
    return True
  if "split" in reference:
    return str(reference["split"]) != "test_n"
  return "<answer>false" not in str(reference.get("text"))


def _look(found: Inventory, source: files.Path, path: str) -> None:
  stamp = files.stamp(source / path)
  if stamp is None:
    found.missing.append(path)
    return
  found.found += 1
  found.size += stamp[0]
  if not stamp[0]:
    found.empty.append(path)


def _sample(
  found: Inventory,
  task: tasks.Task,
  split: str,
  rows: list[tuple[int, Any]],
  source: files.Path,
) -> None:
  """Makes the records of a few rows, spread over the file."""
  step = max(len(rows) // _SAMPLE, 1)
  reader = assembly.Reader(source, configs.Preparation())
  sizes, begun = [], time.perf_counter()
  for number, values in rows[::step][:_SAMPLE]:
    made = assembly.assemble(reader, task, split, number, values)
    if made.record is None:
      found.failures.append(f"{made.row['id']}: {made.row['reason']}")
    else:
      sizes.append(len(records.encode(made.record)))
  if sizes:
    found.seconds = (time.perf_counter() - begun) / len(rows[::step][:_SAMPLE])
    found.record = sum(sizes) / len(sizes)


def patterns(paths: list[str]) -> dict[str, list[str]]:
  """Missing files by folder and pattern, digits as "#"; most first."""
  groups: dict[str, list[str]] = {}
  for path in paths:
    folder, name = os.path.split(path)
    shape = f"{_DIGITS.sub('#', folder)}/*{os.path.splitext(name)[1]}"
    groups.setdefault(shape, []).append(path)
  return dict(sorted(groups.items(), key=lambda item: -len(item[1])))

"""`prepare --check`: what is there, what the whole would take, what is assumed."""

import dataclasses
from collections.abc import Callable

from crab_jax import files
from crab_jax.annotation.inspection import assumptions
from crab_jax.annotation.inspection import findings
from crab_jax.annotation.inspection import inventory
from crab_jax.data import annotations
from crab_jax.data import tasks
from crab_jax.data import worker_pool

_NAMED = 10  # files that are named with each pattern
_HOUR, _GIGA = 3600, 1e9


@dataclasses.dataclass(frozen=True)
class Report:
  """What a check found.

  Attributes:
    inventories: of every split.
    assumed: of every set.
  """

  inventories: list[inventory.Inventory]
  assumed: list[findings.Assumption]

  @property
  def good(self) -> bool:
    """Whether nothing is missing and no assumption fails."""
    return all(found.complete for found in self.inventories) and not any(
      found.verdict == findings.FAILS for found in self.assumed
    )


def check(
  source: files.Path,
  names: tuple[str, ...] | None,
  table: tasks.Tasks,
  show: Callable[[str], object] = print,
) -> Report:
  """Looks at a source, set by set; writes nothing.

  Args:
    source: the folder AVUIE_2, or the one that holds it.
    names: the sets; None: all that are there.
    table: the tasks.
    show: takes what is to be told.

  Raises:
    UserError: the source is no AV-UIE v2.
  """
  source = annotations.root(source)
  found = annotations.find(source, table, names)
  report = Report([], [])
  for name, paths in found.items():
    splits = {split: annotations.read(path) for split, path in paths.items()}
    for split, rows in splits.items():
      report.inventories.append(
        inventory.take(table[name], split, rows, source)
      )
    report.assumed.extend(assumptions.test(table[name], splits, source))
  show(table_text(report.inventories))
  for text in _named(report.inventories):
    show(text)
  show(_whole(report.inventories))
  for assumed in report.assumed:
    show(assumed.text())
  absent = [name for name in table if name not in found]
  if absent and names is None:
    show(f"not there: {', '.join(absent)}")
  return report


def table_text(found: list[inventory.Inventory]) -> str:
  """A line for each split."""
  lines = [
    ["set", "split", "rows", "unusable", "files", "missing", "doubtful",
     "no mask", "GB"]
  ]  # fmt: skip
  lines += [
    [
      one.task,
      one.split,
      str(one.rows),
      str(one.unusable.total()),
      str(one.found + len(one.missing)),
      str(len(one.missing)),
      str(len(one.empty) + len(one.failures)),
      str(one.masks_missing),
      f"{one.size / _GIGA:.3f}",
    ]
    for one in found
  ]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return "\n".join(
    "  ".join(
      cell.ljust(width) if i < 2 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    for line in lines
  )


def _named(found: list[inventory.Inventory]) -> list[str]:
  """What is missing or doubtful, by pattern, with the first names."""
  told = []
  for one in found:
    where = f"{one.task} {one.split}"
    for reason, count in one.unusable.most_common(_NAMED):
      told.append(f"{where}: {count} rows cannot be used: {reason}")
    for word, paths in (("missing", one.missing), ("empty", one.empty)):
      for pattern, own in inventory.patterns(paths).items():
        told.append(f"{where}: {len(own)} {word} of {pattern}")
        told += [f"    {path}" for path in own[:_NAMED]]
    for reason in one.failures:
      told.append(f"{where}: {reason}")
  return told


def _whole(found: list[inventory.Inventory]) -> str:
  """What a preparation of all would take on this machine."""
  known = [one for one in found if one.seconds is not None]
  seconds = sum((one.seconds or 0) * one.rows for one in known)
  size = sum((one.record or 0) * one.rows for one in known)
  cores = worker_pool.cores()
  unknown = sum(one.rows for one in found) - sum(one.rows for one in known)
  told = (
    f"all: {sum(one.rows for one in found)} rows; records would take"
    f" {size / _GIGA:.3f} GB and {seconds / cores / _HOUR:.2f} h on {cores} cores"
    " (a few rows of each split were made for this)"
  )
  return told + (f"; {unknown} rows without an estimate" if unknown else "")

"""Rows whose labels have no times get the ones that a teacher proposes.

They come before all else, since the parts into which a clip is cut depend on
the times. What a teacher cannot place is left out and named.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

from crab_jax.annotation import drafting
from crab_jax.annotation import expansion
from crab_jax.annotation import items
from crab_jax.annotation import media_files
from crab_jax.annotation import rows
from crab_jax.annotation.checking import findings
from crab_jax.annotation.teaching import batches
from crab_jax.annotation.teaching import times_proposed


def with_times(
  found: Sequence[rows.Row],
  work: drafting.Work,
  library: media_files.Library,
  show: Callable[[str], object],
  answered: batches.Writer | None = None,
) -> tuple[list[rows.Row], list[expansion.Outcome]]:
  """The rows, weak ones with proposed times, and those that got none.

  Args:
    found: all rows.
    work: whom to ask, and how; its rows are no matter.
    library: the media of the rows.
    show: takes what is to be told.
    answered: collects what is to be asked into batch files, and rows that wait
      for a reply are left out; None: the teacher is asked.
  """
  weak = [row for row in found if row.events is None and _has_times(row, work)]
  # What cannot be read is told when all rows are expanded.
  settings = dataclasses.replace(work.settings, weak="whole", window=0.0)
  built, _ = expansion.expand(weak, work.table, library, settings)
  # No split is drawn yet; a test row would be built without its frames' target.
  built = [dataclasses.replace(item, split="train") for item in built]
  told = drafting.propose(
    dataclasses.replace(work, every=built), show, answered
  )
  of_row = {item.row.number: item for item in built}
  timed, outcomes = [], []
  for row in found:
    item = of_row.get(row.number)
    proposed = told.get(item.id) if item else None
    if item is None:
      timed.append(row)
    elif isinstance(proposed, drafting.Refused):
      outcomes.append(
        expansion.Outcome(
          item.id, row.task, row.where, proposed.status, proposed.reason
        )
      )
    elif proposed is not None:
      timed.append(dataclasses.replace(row, events=proposed, proposed=True))
  return timed, outcomes


def _has_times(row: rows.Row, work: drafting.Work) -> bool:
  return work.table[row.task].kind == "events" and bool(row.labels)


def finding(item: items.Item) -> findings.Finding | None:
  """What a row with proposed times is held for, or None."""
  if not item.row.proposed:
    return None
  return findings.Finding(
    times_proposed.CODE, findings.FLAG, "the teacher proposed these times"
  )

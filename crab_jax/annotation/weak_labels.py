"""Rows whose labels have no times get the ones that a teacher proposes.

They come before all else, since the parts into which a clip is cut depend on
the times. What a teacher cannot place is left out and named.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

from crab_jax.annotation import expansion
from crab_jax.annotation import items
from crab_jax.annotation import media_files
from crab_jax.annotation import rows
from crab_jax.annotation import teachers
from crab_jax.annotation import truths
from crab_jax.annotation import work as work_lib
from crab_jax.annotation.checking import findings
from crab_jax.annotation.teaching import batches
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import teacher as teacher_lib
from crab_jax.annotation.teaching import times_proposed
from crab_jax.evaluation.reading import intervals


@dataclasses.dataclass(frozen=True)
class Refused:
  """Why a row got no times; `status` counts it."""

  status: str
  reason: str


def with_times(
  found: Sequence[rows.Row],
  work: work_lib.Work,
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
  told = propose(dataclasses.replace(work, every=built), show, answered)
  of_row = {item.row.number: item for item in built}
  timed, outcomes = [], []
  for row in found:
    item = of_row.get(row.number)
    proposed = told.get(item.id) if item else None
    if item is None:
      timed.append(row)
    elif isinstance(proposed, Refused):
      outcomes.append(
        expansion.Outcome(
          item.id, row.task, row.where, proposed.status, proposed.reason
        )
      )
    elif proposed is not None:
      timed.append(dataclasses.replace(row, events=proposed, proposed=True))
  return timed, outcomes


def _has_times(row: rows.Row, work: work_lib.Work) -> bool:
  return work.table[row.task].kind == "events" and bool(row.labels)


def finding(item: items.Item) -> findings.Finding | None:
  """What a row with proposed times is held for, or None."""
  if not item.row.proposed:
    return None
  return findings.Finding(
    times_proposed.CODE, findings.FLAG, "the teacher proposed these times"
  )


def propose(
  work: work_lib.Work,
  show: Callable[[str], object],
  answered: batches.Writer | None = None,
) -> dict[str, tuple[intervals.Event, ...] | Refused]:
  """Times that a teacher proposes for each row, by its id.

  Args:
    work: the rows, whose events last as long as their clips.
    show: takes what is to be told.
    answered: takes what is to be asked: rows that wait are left out; None: the
      teacher is asked.

  Raises:
    UserError: the teacher cannot be used, or the budget is used up.
  """
  if not work.every:
    return {}
  if answered is None:
    with teachers.asked(work, show) as teacher:
      return teachers.each(
        lambda item: _times(teacher, item), work.every, work.transport.workers
      )
  teachers.check_terms(work)
  found, teacher = {}, teachers.open_teacher(work, answered)
  for item in work.every:
    with contextlib.suppress(batches.Needed):
      found[item.id] = _times(teacher, item)
  return found


def _times(
  teacher: teacher_lib.Teacher, item: items.Item
) -> tuple[intervals.Event, ...] | Refused:
  try:
    return times_proposed.propose(teacher, item)
  except times_proposed.NoTimes as error:
    return Refused("no_times", f"the teacher proposed none to use: {error}")
  except truths.Unbuildable as error:
    return Refused(error.status, error.reason)
  except client_lib.Rejected as error:
    return Refused("rejected", str(error))
  except client_lib.Unanswered as error:
    raise teacher.unanswered(item, error) from error

"""Assumptions about time: lengths of clips, events in them, what an end means."""

import re
import statistics
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import av

from crab_jax import files
from crab_jax.annotation.inspection import findings
from crab_jax.data import tasks
from crab_jax.data.media import streams
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

Rows = Sequence[tuple[str, Mapping[str, Any]]]  # id of a row, and its values
_CLIPS = 50  # that are measured, spread over the rows
_SLACK = 1.0  # seconds
_SECONDS = 10.0  # of a clip that does not say how long it is
_FEW = 0.1  # share of the clips that may be shorter: their films end there
_MICRO = 1_000_000  # a container counts in microseconds
# The end of `{video}_{from}_{to}`.
_PART = re.compile(r"_(\d{1,6}(?:\.\d+)?)_(\d{1,6}(?:\.\d+)?)(?:\.\w+)?$")
_LASTING = ("unav", "avcap")  # whose clips nobody has seen


def test(
  task: tasks.Task, rows: Rows, source: files.Path
) -> Iterator[findings.Assumption]:
  """The assumptions about the times of a set, in a fixed order.

  Args:
    task: its row of the table of tasks.
    rows: of all its splits.
    source: the folder of the sets.
  """
  if task.kind == "events":
    yield _in_clips(task, rows, source)
  if task.name in _LASTING:
    yield _lengths(task, rows, source)
  if task.name == "ave":
    yield _times(task, rows)
    yield _ends(task, rows)


def _events(
  task: tasks.Task, row: Mapping[str, Any]
) -> tuple[intervals.Event, ...]:
  """What a row says of times: its target, or what it is scored by."""
  for key in (task.target, *task.needs):
    if isinstance(row.get(key), str):
      read = answers.parse_events(row[key])
      if read.events:
        return read.events
  if (times := _pair(row)) is not None:
    return (intervals.Event(str(row.get("event")), *times),)
  return ()


def _pair(row: Mapping[str, Any]) -> tuple[float, float] | None:
  """start_time and end_time of a row, or None."""
  try:
    return float(row["start_time"]), float(row["end_time"])
  except (LookupError, TypeError, ValueError):
    return None


def _seconds(
  task: tasks.Task, row: Mapping[str, Any], source: files.Path
) -> float | None:
  """How long the video of a row lasts; None: nobody can tell."""
  path = source / task.name / "video" / str(row.get("video_path", ""))
  try:
    with streams.opened(path) as container:
      return container.duration and container.duration / _MICRO
  except (av.FFmpegError, OSError, ValueError):
    return None


def _spread(rows: Rows) -> Rows:
  """Some of the rows, at equal distances."""
  return rows[:: max(len(rows) // _CLIPS, 1)][:_CLIPS]


def _in_clips(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption:
  """Whether events end before their clips do."""
  timed = [(name, row, found) for name, row in rows
           if (found := _events(task, row))]  # fmt: skip
  bad, lengths = [], []
  for name, row, found in timed[:: max(len(timed) // _CLIPS, 1)][:_CLIPS]:
    length = _seconds(task, row, source)
    if length is None:
      continue
    lengths.append(length)
    end = max(event.end for event in found)
    if end > length + _SLACK:
      bad.append(f"{name}: to {end:g}, the clip has {length:.1f} s")
  told = f", of {min(lengths):.1f} to {max(lengths):.1f} s" if lengths else ""
  return findings.verdict(
    task.name, "events end within their clips", bad, len(lengths), told
  )


def _lengths(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption:
  """Whether clips last ten seconds, or as long as their ids say."""
  off, lengths = [], []
  for name, row in _spread(rows):
    length = _seconds(task, row, source)
    if length is None:
      continue
    lengths.append(length)
    wanted = _said(row)
    if abs(length - wanted) > _SLACK:
      off.append(f"{name}: {length:.1f} s in the place of {wanted:g}")
  told = ""
  if lengths:
    middle = statistics.median(lengths)
    told = (
      f", {len(off)} off, {min(lengths):.1f} to {max(lengths):.1f} s, median"
      f" {middle:.1f}"
    )
  bad = off if len(off) > _FEW * len(lengths) else []
  name = "clips last 10 s, or as their ids say"
  return findings.verdict(task.name, name, bad, len(lengths), told)


def _said(row: Mapping[str, Any]) -> float:
  """How long a clip should be: `{video}_{from}_{to}` says it."""
  for key in ("video_id", "vid", "filename"):
    if match := _PART.search(str(row.get(key, ""))):
      begin, end = float(match[1]), float(match[2])
      if begin < end:
        return end - begin
  return _SECONDS


def _times(task: tasks.Task, rows: Rows) -> findings.Assumption:
  """Whether events have a length and lie in ten seconds."""
  pairs = [(name, pair) for name, row in rows if (pair := _pair(row))]
  bad = [
    f"{name}: {start:g} to {end:g}"
    for name, (start, end) in pairs
    if not 0 <= start < end <= _SECONDS
  ]
  told = (
    f", median end {statistics.median(end for _, (_, end) in pairs):g}"
    if pairs else ""
  )  # fmt: skip
  return findings.verdict(
    task.name, "events lie in 0 to 10 s", bad, len(pairs), told
  )


def _ends(task: tasks.Task, rows: Rows) -> findings.Assumption:
  """Whether end_time is where an event is over, and no second of it.

  Of the ten seconds 0 to 9 none is called 10: where times begin at 0, an end of
  10 is exclusive. Where a start equals its end, or a target ends a second after
  end_time, the last second is a part of the event.
  """
  name = "end_time is exclusive"
  bad, pairs = [], []
  for row_name, row in rows:
    if (pair := _pair(row)) is None:
      continue
    pairs.append(pair)
    start, end = pair
    said = row.get(task.target)
    events = answers.parse_events(said).events if isinstance(said, str) else ()
    if start == end:
      bad.append(f"{row_name}: {start:g} to {end:g}")
    elif events and all(event.end == end + 1 for event in events):
      bad.append(f"{row_name}: end_time {end:g}, the target says {said}"[:160])
  told = ""
  if pairs:
    first, last = min(s for s, _ in pairs), max(e for _, e in pairs)
    told = f", from {first:g} to {last:g}"
    if not bad and (first != 0 or last != _SECONDS):
      return findings.Assumption(
        task.name, name, findings.UNKNOWN, f"{len(pairs)} rows{told}"
      )
  return findings.verdict(task.name, name, bad, len(pairs), told)

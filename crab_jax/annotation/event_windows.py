"""Parts of a long clip that hold its events.

A window begins at a whole second and is `size` long, or reaches the end of the
clip. Each holds at least one whole event, or lies in one; windows do not
overlap, and no second of an event is moved: what lies outside is counted.
"""

import dataclasses
import math
from collections.abc import Sequence

from crab_jax.evaluation.reading import intervals

SHORTEST = 1.0  # second: what is left of an event is dropped below


@dataclasses.dataclass(frozen=True)
class Window:
  """A part of a clip.

  Attributes:
    start, end: seconds of the clip.
    events: with times from the start of the window, clipped to it.
    dropped: events of which less than `SHORTEST` lies in the window.
  """

  start: float
  end: float
  events: tuple[intervals.Event, ...]
  dropped: int = 0


def cut(
  length: float,
  events: Sequence[intervals.Event],
  size: float,
  limit: int,
  share: float = 0.5,
) -> list[Window]:
  """The windows of a clip, at most `limit`, from its beginning on.

  Args:
    length: of the clip, seconds.
    events: of it; parts behind its end do not count.
    size: seconds of a window.
    limit: how many windows.
    share: where in a window an event lies that could lie anywhere, from 0, at
      its end, to 1, at its beginning; one value for all would be learnt.
  """
  events = [e for e in events if e.start < length]
  found: list[Window] = []
  reached = 0.0
  for event in sorted(events, key=lambda event: (event.start, event.end)):
    start = _start(event, length, size, reached, share)
    window = _window(start, min(start + size, length), events)
    if len(found) < limit and start >= reached and _holds(window, events):
      found.append(window)
      reached = window.end
  return found


def _start(
  event: intervals.Event,
  length: float,
  size: float,
  reached: float,
  share: float,
) -> float:
  """Where a window for an event begins: a whole second, behind the last."""
  first = math.ceil(reached)
  last = max(math.ceil(length - size), 0)
  latest = min(math.floor(event.start), last)
  earliest = max(math.ceil(event.end - size), first, 0)
  if earliest > latest:  # longer than a window, or begun in the one before
    return float(max(latest, first))
  return float(earliest + round(share * (latest - earliest)))


def _window(
  start: float, end: float, events: Sequence[intervals.Event]
) -> Window:
  inside, dropped = [], 0
  for event in events:
    begin, stop = max(event.start, start), min(event.end, end)
    if stop - begin >= min(SHORTEST, event.end - event.start) - 1e-9:
      inside.append(
        dataclasses.replace(event, start=begin - start, end=stop - start)
      )
    elif stop > begin:
      dropped += 1
  return Window(start, end, tuple(inside), dropped)


def _holds(window: Window, events: Sequence[intervals.Event]) -> bool:
  """Whether a window holds a whole event, or lies in one."""
  if window.end - window.start < SHORTEST:
    return False
  return any(
    (window.start <= event.start and event.end <= window.end)
    or (event.start <= window.start and window.end <= event.end)
    for event in events
  )

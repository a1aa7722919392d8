"""Where the streams of samples are, so that any number of hosts can go on.

All hosts, and all worker processes of each, share one endless order of
samples: stream f of n reads the indices f, f + n, f + 2n, ... of it. The
places of all streams tell which indices no row has taken yet; other streams,
more or fewer, share out just these.
"""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Place:
  """What a stream has yet to take of the order.

  Attributes:
    first: an index of the stream, smaller than `step`.
    step: between two of its indices.
    start: it reads no index below this, but for those that follow.
    waiting: read already, but in no row: they are read again, and wait again.
    left: read next, before all from `start` on; left by streams of before.
  """

  first: int = 0
  step: int = 1
  start: int = 0
  waiting: tuple[int, ...] = ()
  left: tuple[int, ...] = ()

  @classmethod
  def of(cls, fields: Mapping[str, Any]) -> "Place":
    """The place of these fields, as `dataclasses.asdict` and JSON give them."""
    lists = {name: tuple(fields[name]) for name in ("waiting", "left")}
    return cls(**{**fields, **lists})

  def index(self, count: int) -> int:
    """The index that is read after so many others; `waiting` aside."""
    if count < len(self.left):
      return self.left[count]
    begun = -(-(self.start - self.first) // self.step)
    return self.first + self.step * (begun + count - len(self.left))

  def after(self, count: int, waiting: Sequence[int]) -> "Place":
    """The place when so many were read, of which these wait."""
    left = self.left[count:]
    start = self.index(max(count, len(self.left)))
    return dataclasses.replace(
      self, start=start, waiting=tuple(waiting), left=left
    )

  def part(self, number: int, count: int) -> "Place":
    """The place of one of so many streams that share this one's samples."""
    return Place(
      self.first + self.step * number,
      self.step * count,
      self.start,
      left=tuple(sorted(self.waiting + self.left))[number::count],
    )


def merged(places: Sequence[Place]) -> Place:
  """One stream's place that leaves what all these leave.

  Args:
    places: of all the streams that share the order.
  """
  ends = [(place, place.index(len(place.left))) for place in places]
  # Behind the last index that any stream has read.
  start = max(end - place.step + 1 for place, end in ends)
  left = []
  for place, end in ends:
    left += [*place.waiting, *place.left, *range(end, start, place.step)]
  return Place(start=start, left=tuple(sorted(left)))

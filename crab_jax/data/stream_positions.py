"""Where the streams of samples are, so that any number of hosts can go on.

All hosts, and all worker processes of each, share one endless order of
samples: stream f of n reads the indices f, f + n, f + 2n, ... of it. The
positions of all streams tell which indices no row has taken yet; other streams,
more or fewer, share out just these.
"""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Position:
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
  left: tuple[int, ...] = ()  # checkpoints hold these names

  @classmethod
  def of(cls, fields: Mapping[str, Any]) -> "Position":
    """The position of these fields, as `dataclasses.asdict` and JSON give them."""
    lists = {name: tuple(fields[name]) for name in ("waiting", "left")}
    return cls(**{**fields, **lists})

  def index(self, count: int) -> int:
    """The index that is read after so many others; `waiting` aside."""
    if count < len(self.left):
      return self.left[count]
    # Its indices below `start`: first, first + step, ...
    begun = -(-(self.start - self.first) // self.step)
    return self.first + self.step * (begun + count - len(self.left))

  def after(self, count: int, waiting: Sequence[int]) -> "Position":
    """The position when so many were read, of which these wait."""
    remaining = self.left[count:]
    start = self.index(max(count, len(self.left)))
    return dataclasses.replace(
      self, start=start, waiting=tuple(waiting), left=remaining
    )

  def part(self, number: int, count: int) -> "Position":
    """The position of one of so many streams that share this one's samples."""
    # What waited is read again, by the part that it falls to.
    return Position(
      self.first + self.step * number,
      self.step * count,
      self.start,
      # Sorted, so that all hosts share them out alike.
      left=tuple(sorted(self.waiting + self.left))[number::count],
    )


def merged(positions: Sequence[Position]) -> Position:
  """One stream's position that leaves what all these leave.

  Args:
    positions: of all the streams that share the order.
  """
  ends = [
    (position, position.index(len(position.left))) for position in positions
  ]
  # Behind the last index that any stream has read: `end` is the next of a stream.
  start = max(end - position.step + 1 for position, end in ends)
  remaining = []
  for position, end in ends:
    remaining += [
      *position.waiting,
      *position.left,
      # What a faster stream has passed, and this one has not read.
      *range(end, start, position.step),
    ]
  return Position(start=start, left=tuple(sorted(remaining)))

"""Which job gets a slot next, and how long a burst of decoding may be.

Pure: no clock, no thread, no device. Owners take turns; the jobs of one owner
come in the order of their arrival. The jobs of a group count as one: they
share a turn, and one position of the queue.
"""

import collections
import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence


@dataclasses.dataclass
class Ticket:
  """A job, as the scheduler sees it. Compared by identity.

  Attributes:
    limit: new tokens that it may have.
    owner: whose it is.
    group: see the module; None: it stands alone.
    deadline: when it ends; None: never.
    made: new tokens so far.
    cancelled: whether it is to end.
  """

  limit: int
  owner: str = ""
  group: str | None = None
  deadline: float | None = None
  made: int = 0
  cancelled: bool = False

  __hash__ = object.__hash__

  def __eq__(self, other):
    return self is other


_Unit = collections.deque[Ticket]  # one job, or those of a group


class Scheduler:
  """The queue and the slots.

  Args:
    slots: jobs that run at the same time.
    queue: that wait at most, a group counted once.
    burst: decoding steps without a pause at most.
    burst_seconds: that a burst should not exceed: tokens are handed on, and
      cancelled jobs end, only between two of them.
  """

  def __init__(
    self, slots: int, queue: int, burst: int = 8, burst_seconds: float = 0.02
  ):
    self.slots, self.queue = slots, queue
    self._burst, self._burst_seconds = burst, burst_seconds
    self.running: dict[int, Ticket] = {}  # slot -> job
    # Owners in the order of their turns; an owner without a job is not there.
    self._queues: collections.OrderedDict[str, collections.deque[_Unit]]
    self._queues = collections.OrderedDict()

  @property
  def waiting(self) -> int:
    """Jobs without a slot."""
    return sum(1 for _ in self._waiting())

  @property
  def full(self) -> bool:
    """Whether the queue has no position for a job that stands alone."""
    return sum(map(len, self._queues.values())) >= self.queue

  @property
  def rows(self) -> int:
    """Slots from the first to the last that is in use."""
    return max(self.running, default=-1) + 1

  @property
  def gathers(self) -> bool:
    """Whether the next job gets a slot and is of the one group that runs.

    A group is decoded when all of it is read: the steps before would serve a few
    rows each, and nobody else waits for them.
    """
    if not self.running or not self._queues or len(self.running) == self.slots:
      return False
    units = next(iter(self._queues.values()))
    group = units[0][0].owner, units[0][0].group
    return group[1] is not None and all(
      (ticket.owner, ticket.group) == group for ticket in self.running.values()
    )

  def add(self, ticket: Ticket) -> bool:
    """Queues a job; False: there is no position."""
    units = self._queues.get(ticket.owner, ())
    for unit in units:
      if ticket.group is not None and unit[0].group == ticket.group:
        unit.append(ticket)
        return True
    if self.full:
      return False
    units = self._queues.setdefault(ticket.owner, collections.deque())
    units.append(collections.deque([ticket]))
    return True

  def admit(self) -> tuple[int, Ticket] | None:
    """Gives the next job the first free slot; None: no slot, or no job."""
    if not self._queues or len(self.running) == self.slots:
      return None
    owner, units = next(iter(self._queues.items()))
    ticket = units[0].popleft()
    if not units[0]:
      # The turn ends with the last job of a group.
      units.popleft()
      self._queues.move_to_end(owner)
    if not units:
      del self._queues[owner]
    # The lowest slots are used, as a step computes all rows up to the last.
    slot = next(i for i in range(self.slots) if i not in self.running)
    self.running[slot] = ticket
    return slot, ticket

  def compact(self, counts: Sequence[int]) -> list[tuple[int, int]]:
    """Takes jobs to lower slots where a step then computes fewer rows.

    Args:
      counts: rows that a step may compute, ascending; the last is of all slots.

    Returns:
      From which slot to which.
    """
    if not self.running or self._queues:
      return []  # without a job, or the next one fills the gap
    few = next(count for count in counts if count >= len(self.running))
    free = (slot for slot in range(few) if slot not in self.running)
    high = sorted(slot for slot in self.running if slot >= few)
    found = list(zip(high, free, strict=False))
    for source, target in found:
      self.running[target] = self.running.pop(source)
    return found

  def free(self, slot: int) -> Ticket:
    """Takes a job from its slot."""
    return self.running.pop(slot)

  def withdraw(self, ticket: Ticket) -> bool:
    """Takes a job from the queue; False: it does not wait."""
    for owner, units in self._queues.items():
      for unit in units:
        if ticket in unit:
          unit.remove(ticket)
          if not unit:
            units.remove(unit)
          if not units:
            del self._queues[owner]
          return True
    return False

  def over(self, now: float) -> tuple[list[Ticket], list[int]]:
    """Waiting jobs and slots whose job is cancelled or past its deadline."""

    def ends(ticket: Ticket) -> bool:
      late = ticket.deadline is not None and now >= ticket.deadline
      return ticket.cancelled or late

    waiting = [ticket for ticket in self._waiting() if ends(ticket)]
    slots = [slot for slot, ticket in self.running.items() if ends(ticket)]
    return waiting, slots

  def ahead(self, ticket: Ticket) -> int:
    """Jobs that get a slot before a waiting one; 0 for any other."""
    for index, other in enumerate(self._waiting()):
      if other is ticket:
        return index
    return 0

  def steps(self, step_seconds: float) -> int:
    """Steps of the next burst, at least 1.

    Args:
      step_seconds: what one takes; 0: not known.
    """
    if self._queues and len(self.running) < self.slots:
      return 1  # a prompt is to be read
    left = [ticket.limit - ticket.made for ticket in self.running.values()]
    most = min(self._burst, *left) if left else 1
    if step_seconds * most > self._burst_seconds:
      most = int(self._burst_seconds / step_seconds)
    return max(1, most)

  def _waiting(self) -> Iterator[Ticket]:
    """The jobs of the queue in the order of `admit`."""
    turns = [list(units) for units in self._queues.values()]
    while turns:
      for units in turns:
        yield from units.pop(0)
      turns = [units for units in turns if units]

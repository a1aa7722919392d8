"""The scheduler: turns, groups, deadlines, bursts; whatever the order."""

import collections

import numpy as np
import pytest

from crab_jax.serving import scheduler


def _scheduler(slots=2, queue=64, **settings):
  return scheduler.Scheduler(slots, queue, **settings)


def _ticket(owner="a", group=None, deadline=None, limit=8):
  return scheduler.Ticket(limit, owner, group, deadline)


def _admitted(made, count):
  """Owners of the next jobs, each ended before the next one starts."""
  found = []
  for _ in range(count):
    slot, ticket = made.admit()
    made.free(slot)
    found.append(ticket)
  return found


def test_owners_take_turns_and_their_jobs_keep_their_order():
  made = _scheduler()
  mine = [_ticket("a") for _ in range(3)]
  theirs = [_ticket("b") for _ in range(2)]
  for ticket in mine + theirs:
    assert made.add(ticket)
  wanted = [mine[0], theirs[0], mine[1], theirs[1], mine[2]]
  assert _admitted(made, 5) == wanted
  assert made.admit() is None


def test_jobs_of_a_group_share_a_turn():
  made = _scheduler()
  clip = [_ticket("a", "clip") for _ in range(3)]
  alone, theirs = _ticket("a"), _ticket("b")
  for ticket in (clip[0], alone, clip[1], theirs, clip[2]):
    made.add(ticket)
  assert [made.ahead(t) for t in (*clip, theirs, alone)] == [0, 1, 2, 3, 4]
  assert _admitted(made, 5) == [*clip, theirs, alone]


def test_a_group_gathers_while_nobody_else_runs():
  made = _scheduler(slots=3)
  for ticket in [_ticket("a", "clip") for _ in range(5)]:
    made.add(ticket)
  assert not made.gathers  # nothing runs
  made.admit()
  assert made.gathers
  made.admit()
  made.admit()
  assert not made.gathers  # no slot is free
  made.free(0)
  assert made.gathers
  made.add(_ticket("b", "clip"))
  made.admit()
  made.free(1)
  made.admit()
  made.free(2)
  assert not made.gathers  # the next is of another owner
  made.admit()
  assert not made.gathers  # nobody waits


def test_a_job_that_stands_alone_gathers_with_nobody():
  made = _scheduler(slots=3)
  for _ in range(2):
    made.add(_ticket("a"))
  made.admit()
  assert not made.gathers


def test_a_group_of_another_owner_is_another_group():
  made = _scheduler(queue=2)
  assert made.add(_ticket("a", "clip"))
  assert made.add(_ticket("b", "clip"))
  assert made.add(_ticket("b", "clip"))
  assert not made.add(_ticket("c", "clip"))
  assert made.waiting == 3


def test_a_full_queue_takes_no_job():
  made = _scheduler(slots=1, queue=1)
  made.add(_ticket())
  assert made.full
  assert not made.add(_ticket("b"))
  made.admit()  # a job with a slot does not wait
  assert made.add(_ticket("b"))


def test_the_lowest_free_slot_is_used():
  made = _scheduler(slots=3)
  for _ in range(4):
    made.add(_ticket())
  assert [made.admit()[0] for _ in range(3)] == [0, 1, 2]
  assert made.admit() is None
  made.free(1)
  assert made.rows == 3
  assert made.admit()[0] == 1


def test_jobs_come_together_where_a_step_then_computes_fewer_rows():
  made, counts = _scheduler(slots=8), [1, 4, 8]
  tickets = [_ticket() for _ in range(8)]
  for ticket in tickets:
    made.add(ticket)
    made.admit()
  for slot in (0, 2, 5):
    made.free(slot)
  assert not made.compact(counts)  # five jobs take eight rows
  made.free(1)
  assert made.compact(counts) == [(4, 0), (6, 1), (7, 2)]
  assert [made.running[slot] for slot in range(4)] == [
    tickets[i] for i in (4, 6, 7, 3)
  ]
  assert made.rows == 4
  assert not made.compact(counts)
  for slot in (0, 1, 3):
    made.free(slot)
  made.add(_ticket())
  assert not made.compact(counts)  # the next job takes slot 0
  made.admit()
  made.free(0)
  assert made.compact(counts) == [(2, 0)]
  made.free(0)
  assert not made.compact(counts)
  assert not _scheduler().compact([2])


def test_cancelled_and_late_jobs_are_over():
  made = _scheduler(slots=1)
  running, waiting = _ticket(deadline=5.0), _ticket(deadline=3.0)
  cancelled, well = _ticket(), _ticket()
  for ticket in (running, waiting, cancelled, well):
    made.add(ticket)
  made.admit()
  cancelled.cancelled = True
  assert made.over(2.9) == ([cancelled], [])
  assert made.over(3.0) == ([waiting, cancelled], [])
  assert made.over(5.0) == ([waiting, cancelled], [0])
  assert made.withdraw(waiting)
  assert made.withdraw(cancelled)
  assert not made.withdraw(running)
  assert made.waiting == 1


@pytest.mark.parametrize(
  ("left", "waits", "seconds", "wanted"),
  [
    ([20, 30], False, 0.0, 8),
    ([20, 30], False, 0.001, 8),
    ([20, 30], False, 0.005, 4),
    ([20, 30], False, 1.0, 1),
    ([20, 3], False, 0.0, 3),
    ([20], True, 0.0, 1),  # a slot is free, and a prompt to be read
    ([20, 30], True, 0.0, 8),  # no slot is free
    ([], False, 0.0, 1),
  ],
)
def test_a_burst_ends_where_something_is_to_do(left, waits, seconds, wanted):
  made = _scheduler()
  for limit in left:
    made.add(_ticket(limit=limit))
    made.admit()
  if waits:
    made.add(_ticket())
  assert made.steps(seconds) == wanted


def test_random_schedules_lose_no_job_and_starve_nobody():
  rng = np.random.default_rng(0)
  for _ in range(200):
    made = _scheduler(int(rng.integers(1, 4)), int(rng.integers(1, 9)))
    accepted, ended = set(), set()
    served = collections.defaultdict(list)
    for number in range(60):
      kind = rng.integers(4)
      if kind < 2:
        owner, group = str(rng.integers(3)), rng.integers(4)
        ticket = _ticket(owner, str(group) if group < 2 else None)
        ticket.deadline = float(number)
        if made.add(ticket):
          accepted.add(ticket)
      elif kind == 2 and made.running:
        ended.add(made.free(int(rng.choice(list(made.running)))))
      elif found := made.admit():
        served[found[1].owner].append(found[1])
      assert len(made.running) + made.waiting + len(ended) == len(accepted)
      assert all(0 <= slot < made.slots for slot in made.running)
    # What is alone keeps the order of its owner.
    for tickets in served.values():
      alone = [t.deadline for t in tickets if t.group is None]
      assert alone == sorted(alone)
    for _ in range(made.waiting + len(made.running)):
      for slot in list(made.running):
        ended.add(made.free(slot))
      made.admit()
    assert ended | set(made.running.values()) == accepted

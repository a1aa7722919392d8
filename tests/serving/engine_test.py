"""The engine: jobs of many threads, each with its own answer and one end."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from crab_jax.serving import engine as engine_lib
from crab_jax.serving import interface
from tests.serving import small

Reason = interface.Reason
_TIMEOUT = 120


class _Asked:
  """A job, and what it was told."""

  def __init__(self, sample, **about):
    self.events, self.ended = [], threading.Event()
    self.first = threading.Event()
    self.job = interface.Job(sample, self._on_event, **about)

  def _on_event(self, event):
    assert not self.ended.is_set()  # nothing comes after the end
    self.events.append(event)
    if isinstance(event, interface.Tokens):
      self.first.set()
    if isinstance(event, interface.Finished):
      self.ended.set()

  @property
  def tokens(self):
    parts = [e.ids for e in self.events if isinstance(e, interface.Tokens)]
    return tuple(token for ids in parts for token in ids)

  def reason(self):
    assert self.ended.wait(_TIMEOUT)
    return self.events[-1].reason


@pytest.fixture(scope="module")
def engine():
  made = engine_lib.Engine(small.programs())
  made.start()
  yield made
  made.stop(0)


def _submitted(engine, seed, clip=None, **about):
  asked = _Asked(small.sample(seed, clip), **about)
  asked.handle = engine.submit(asked.job)
  return asked


def _whole(seed, clip=None):
  """The answer, and why it ends."""
  answer = small.answer(seed, clip)
  return answer, Reason.LENGTH if len(answer) == small.NEW else Reason.STOP


def test_memory_of_shared_beginnings_is_held_before_the_first_job():
  engine = engine_lib.Engine(small.programs())
  engine.start()
  while not engine.ready:
    assert engine.failure is None
    time.sleep(0.01)
  assert engine._prefixes.reserved == small.SETTINGS.prefix_bytes
  engine.stop(0)


def test_jobs_of_many_threads_get_their_own_answers(engine):
  asked = {}

  def submit(first):
    for seed in range(first, first + 8):
      asked[seed] = _submitted(engine, seed, owner=str(first))

  threads = [threading.Thread(target=submit, args=(8 * i,)) for i in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for seed, one in asked.items():
    reason = one.reason()
    assert (one.tokens, reason) == _whole(seed), seed
    started = one.events[0]
    assert started.prompt_tokens == len(one.job.sample["tokens"])
  stats = engine.stats()
  assert stats.compilations == 0
  assert (stats.slots_used, stats.waiting) == (0, 0)
  assert stats.new_tokens >= sum(len(one.tokens) for one in asked.values())
  assert 0 < stats.slot_seconds <= stats.slots * stats.decode_seconds


def test_questions_about_one_clip_share_its_keys_and_values(engine):
  before = engine.stats().cached_tokens
  asked = [_submitted(engine, seed, clip=40, group="clip") for seed in range(5)]
  for seed, one in enumerate(asked):
    reason = one.reason()
    assert (one.tokens, reason) == _whole(seed, 40)
  media = np.flatnonzero(asked[0].job.sample["kinds"] != 1)[-1] + 1
  cached = [one.events[0].cached_tokens for one in asked]
  assert cached == [0] + 4 * [media]
  stats = engine.stats()
  assert stats.cached_tokens - before == 4 * media
  assert 0 < stats.prompt_tokens - stats.cached_tokens < stats.padded_tokens


def test_a_clip_is_decoded_when_all_its_questions_are_read():
  engine = engine_lib.Engine(made := small.programs())
  calls, read, decode = [], made.read, made.decode
  extend = made.extend

  def noted(name, function):
    def call(*arguments):
      calls.append(name)
      return function(*arguments)

    return call

  made.read, made.extend = noted("read", read), noted("read", extend)
  engine.start()
  while not engine.ready:
    time.sleep(0.01)
  made.decode = noted("decode", decode)
  try:
    with engine._changed:  # all are there before the first is read
      asked = [_submitted(engine, i, clip=40, group="clip") for i in range(3)]
    for seed, one in enumerate(asked):
      one.reason()
      assert one.tokens == small.answer(seed, 40)
  finally:
    engine.stop(0)
    made.read, made.extend, made.decode = read, extend, decode
  assert calls[:3] == 3 * ["read"]
  assert "decode" in calls


def test_few_answers_that_are_left_take_few_rows():
  """Of three slots the last has the longest answer."""
  engine = engine_lib.Engine(made := small.programs())
  rows, decode = [], made.decode

  def noted(count, steps, leave):
    rows.append(count)
    return decode(count, steps, leave)

  made.decode = noted
  try:
    long = next(n for n in range(32) if len(small.answer(n)) == small.NEW)
    asked = [
      _submitted(
        engine, long, decoding=interface.Decoding(max_new_tokens=limit)
      )
      for limit in (5, 4, small.NEW)
    ]
    engine.start()
    assert asked[2].reason() is Reason.LENGTH
    assert asked[2].tokens == small.answer(long)
  finally:
    engine.stop(0)
    made.decode = decode
  asked_of_all = rows[len(made.row_counts) :]  # behind the warm-up
  assert max(asked_of_all) > 1
  assert asked_of_all[-1] == 1


def test_an_answer_ends_at_its_limit(engine):
  seed = next(n for n in range(32) if len(small.answer(n)) == small.NEW)
  for limit in (1, 3):
    decoding = interface.Decoding(max_new_tokens=limit)
    one = _submitted(engine, seed, decoding=decoding)
    assert one.reason() is Reason.LENGTH
    assert one.tokens == small.answer(seed)[:limit]


def test_stop_tokens_may_be_ignored(engine):
  seed = next(n for n in range(32) if 0 < len(small.answer(n)) < small.NEW)
  decoding = interface.Decoding(ignore_eos=True, max_new_tokens=99)
  one = _submitted(engine, seed, decoding=decoding)
  assert one.reason() is Reason.LENGTH
  assert len(one.tokens) == small.NEW
  answer = (*small.answer(seed), small.STOP)
  assert one.tokens[: len(answer)] == answer


def test_an_empty_prompt_gets_an_empty_answer(engine):
  sample = small.sample(0)
  for name in ("tokens", "positions", "kinds"):
    sample[name] = sample[name][:0]
  one = _Asked(sample)
  engine.submit(one.job)
  assert one.reason() is Reason.LENGTH
  assert one.tokens == ()


def test_what_has_no_room_is_refused_with_its_size(engine):
  sample = small.sample(0)
  sample["tokens"] = np.zeros(65, np.int32)
  with pytest.raises(interface.TooLongError, match="65 tokens.* room for 64"):
    engine.submit(_Asked(sample).job)


def _with_queue(queue, clock=time.monotonic):
  """An engine whose thread does not run yet."""
  engine = engine_lib.Engine(small.programs(), clock=clock)
  engine._scheduler.queue = queue
  return engine


def test_a_full_queue_says_when_to_ask_again():
  engine = _with_queue(1)
  waits = _submitted(engine, 0)
  with pytest.raises(interface.QueueFullError) as caught:
    _submitted(engine, 1)
  assert 1 <= caught.value.retry_seconds <= 60
  engine.start()
  assert waits.reason() is not Reason.ERROR
  engine.stop(0)


def test_cancelled_and_late_jobs_end_and_others_go_on():
  engine = _with_queue(9, clock=lambda: 10.0)
  cancelled = _submitted(engine, 0)
  late = _submitted(engine, 1, deadline=10.0)
  well = _submitted(engine, 2, deadline=10.1)
  assert [a.handle.waiting_ahead() for a in (cancelled, late, well)] == [
    0,
    1,
    2,
  ]
  cancelled.handle.cancel()
  engine.start()
  assert cancelled.reason() is Reason.CANCELLED
  assert late.reason() is Reason.DEADLINE
  reason = well.reason()
  assert (well.tokens, reason) == _whole(2)
  cancelled.handle.cancel()  # it has ended: nothing
  engine.stop(0)


def test_a_running_job_is_cancelled_within_a_burst():
  engine = _with_queue(9)
  seed = next(n for n in range(32) if len(small.answer(n)) == small.NEW)
  one = _Asked(small.sample(seed))
  first = one.job.on_event

  def cancel_at_once(event):
    first(event)
    if isinstance(event, interface.Tokens):
      one.handle.cancel()

  one.job = dataclasses.replace(one.job, on_event=cancel_at_once)
  one.handle = engine.submit(one.job)
  engine.start()
  assert one.reason() is Reason.CANCELLED
  # The first token, and what was decoded before the cancellation was seen.
  assert len(one.tokens) <= 1 + small.SETTINGS.burst
  assert engine.stats().slots_used == 0
  engine.stop(0)


def test_a_stop_ends_what_runs_and_takes_nothing_more():
  engine = _with_queue(99)
  engine.start()
  asked = [_submitted(engine, seed) for seed in range(32)]
  engine.stop(0)
  reasons = [one.reason() for one in asked]
  assert Reason.ERROR in reasons
  assert asked[-1].events[-1].error == "the server stops"
  with pytest.raises(interface.StoppingError):
    _submitted(engine, 0)


def test_a_stop_waits_for_what_it_has():
  engine = _with_queue(99)
  engine.start()
  asked = [_submitted(engine, seed) for seed in range(4)]
  engine.stop(_TIMEOUT)
  for seed, one in enumerate(asked):
    reason = one.reason()
    assert (one.tokens, reason) == _whole(seed)
  assert engine.failure is None


def test_a_job_that_cannot_be_told_costs_no_other(caplog):
  engine = _with_queue(99)

  def broken(event):
    raise RuntimeError("on purpose")

  engine.submit(interface.Job(small.sample(0), broken))
  other = _submitted(engine, 1)
  engine.start()
  reason = other.reason()
  assert (other.tokens, reason) == _whole(1)
  engine.stop(_TIMEOUT)
  assert engine.failure is None
  assert "the job is cancelled" in caplog.text


class _Failing:
  """Programs whose decoding fails."""

  def __init__(self, programs):
    self._programs = programs

  def __getattr__(self, name):
    return getattr(self._programs, name)

  def decode(self, *arguments):
    raise RuntimeError("out of memory")


def test_a_failure_ends_all_jobs_and_is_kept():
  engine = engine_lib.Engine(_Failing(small.programs()))
  asked = [_submitted(engine, seed) for seed in range(6)]
  engine.start()
  reasons = [one.reason() for one in asked]
  assert Reason.ERROR in reasons
  said = asked[-1].events[-1].error
  assert said == "the engine has failed: RuntimeError"
  engine.stop(0)
  assert isinstance(engine.failure, RuntimeError)
  assert not engine.ready
  with pytest.raises(interface.StoppingError):
    _submitted(engine, 0)

"""The loader: resuming, moving to other hosts, counters, failures."""

import collections
import dataclasses
import json

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import records
from crab_jax.data import sources
from crab_jax.data import stream_positions
from crab_jax.data import tasks
from tests.data import clips
from tests.data import small_loader
from tests.data import small_records


@pytest.mark.parametrize("before", [0, 1, 5])
def test_resuming_is_exact(make_loader, before):
  straight = make_loader()
  small_loader.take(straight, before)
  state = straight.get_state()
  assert isinstance(state, bytes)
  expected = small_loader.take(straight, 5)
  resumed = make_loader()
  resumed.set_states([state])
  small_loader.assert_equal(small_loader.take(resumed, 5), expected)
  assert resumed.counters() == straight.counters()
  # And going back in the same loader, with batches made ahead.
  straight.set_states([state])
  small_loader.assert_equal(small_loader.take(straight, 5), expected)


def _move(make_loader, before, after, batches=4):
  """What is taken by so many hosts, then by others; and the new ones' words.

  Each has a data configuration; all of one side have the same number.
  """
  rows = dataclasses.replace(small_loader.ROWS, rows=4)

  def begin(data):
    count = len(data)
    return [
      make_loader(rows, one, process_index=i, process_count=count)
      for i, one in enumerate(data)
    ]

  first = begin(before)
  taken = [
    small_loader.ids(small_loader.take(loader, batches)) for loader in first
  ]
  states = [loader.get_state() for loader in first]
  second = begin(after)
  words = {loader.set_states(states) for loader in second}
  taken += [
    small_loader.ids(small_loader.take(loader, batches)) for loader in second
  ]
  return sum(taken, []), second, words


def _all_left(loaders):
  states = [json.loads(loader.get_state()) for loader in loaders]
  streams = [position for state in states for position in state["streams"]]
  return stream_positions.merged(
    [stream_positions.Position.of(position) for position in streams]
  )


@pytest.mark.parametrize(
  ("before", "after", "workers"),
  [
    (2, 1, (0, 0)),
    (1, 4, (0, 0)),
    (4, 2, (0, 0)),
    pytest.param(2, 1, (2, 3), marks=pytest.mark.slow),
    pytest.param(1, 1, (2, 0), marks=pytest.mark.slow),
  ],
)
def test_other_hosts_take_just_what_is_left(
  make_loader, before, after, workers
):
  old, new = (
    dataclasses.replace(small_records.DATA, workers=count) for count in workers
  )
  taken, loaders, words = _move(make_loader, [old] * before, [new] * after)
  (said,) = words
  assert f"of {before} hosts become" in said
  # The order itself: one sample a row, none overtakes another.
  one = dataclasses.replace(small_loader.ROWS, rows=1, samples=1, waiting=1)
  rest = _all_left(loaders)
  order = small_loader.ids(small_loader.take(make_loader(one), rest.start))
  missing = collections.Counter(order[index] for index in rest.left)
  assert collections.Counter(taken) + missing == collections.Counter(order)
  counted = sum(
    (collections.Counter(x.counters()["samples"]) for x in loaders),
    collections.Counter(),
  )
  assert counted.total() == len(taken)


def test_the_same_hosts_move_nothing(make_loader):
  data = [small_records.DATA] * 2
  _, _, words = _move(make_loader, data, data)
  assert words == {None}


def test_a_state_of_an_earlier_version_is_refused(make_loader):
  state = b'{"iterator": {"next_index": 3, "waiting": []}, "tally": {}}'
  with pytest.raises(errors.UserError, match="of an earlier version"):
    make_loader().set_states([state])


def test_counters(make_loader):
  loader = make_loader()
  batches = small_loader.take(loader, 3)
  counters = loader.counters()
  used = sum(int((batch["segments"] > 0).sum()) for batch in batches)
  assert counters["useful_tokens"] == used
  assert counters["tokens"] == 3 * 2 * 256
  assert sum(counters["samples"].values()) == len(small_loader.ids(batches))
  assert counters["skipped"] == {} and counters["short_videos"] == 0


def _tolerant(of_all: float, of_a_task: float) -> configs.Data:
  return dataclasses.replace(
    small_records.DATA, max_bad_share=of_all, max_bad_task_share=of_a_task
  )


@pytest.fixture
def damaged(tmp_path):
  """A folder whose third s4 record has a flipped byte, and other trouble."""
  found = [r for r in small_loader.FOUND if r.task != "arig" and r.row < 16]
  found += [
    small_records.record("arig", row, status="short_video") for row in range(6)
  ]
  found += [
    small_records.record("arig", 6, audio=b"noise"),
    small_records.record("arig", 7, target="word " * 300),
  ]
  small_records.write(tmp_path, found)
  path = records.shards(tmp_path, "s4", "train")[0]
  clips.flip(path, int(sources.offsets(path)[2]) + 100)
  return tmp_path


def test_failures_are_skipped_counted_and_named(make_loader, damaged):
  loader = make_loader(where=damaged, data=_tolerant(0.2, 0.5))
  ids = small_loader.ids(small_loader.take(loader, 25))
  counters = loader.counters()
  assert counters["skipped"] == {"bad_record": 1, "bad_audio": 1, "too_long": 1}
  assert counters["skipped_ids"] == {
    "s4/train, record 2": "bad_record",
    "arig/train/6": "bad_audio",
    "arig/train/7": "too_long",
  }
  assert counters["short_videos"] >= 6
  arig, s4 = tasks.Tasks().number("arig"), tasks.Tasks().number("s4")
  assert not {(arig, 6), (arig, 7), (s4, 2)} & set(ids)
  assert len(set(ids)) == 32 - 3
  # The counters are part of the state.
  resumed = make_loader(where=damaged, data=_tolerant(0.2, 0.5))
  resumed.set_states([loader.get_state()])
  assert resumed.counters() == counters
  small_loader.assert_equal(
    small_loader.take(resumed, 3), small_loader.take(loader, 3)
  )


def test_too_many_failures_stop_the_run(make_loader, damaged):
  loader = make_loader(where=damaged, data=_tolerant(0.2, 0.2))
  with pytest.raises(errors.UserError) as caught:
    small_loader.take(loader, 30)
  text = str(caught.value)
  assert "2 of 8 records of arig failed" in text and "20.0%" in text
  assert "arig/train/6" in text and "Rows.tokens=256" in text
  loader = make_loader(where=damaged, data=_tolerant(0.09, 0.9))
  with pytest.raises(errors.UserError, match="3 of 32 records of all"):
    small_loader.take(loader, 30)


@pytest.mark.parametrize(
  "workers", [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_records_that_none_fits_stop_the_run(make_loader, workers):
  """Without a batch nothing else would tell of them."""
  loader = make_loader(
    rows=dataclasses.replace(small_loader.ROWS, tokens=16, supervised=16),
    data=dataclasses.replace(small_records.DATA, workers=workers),
  )
  with pytest.raises(errors.UserError, match="Rows.tokens=16") as caught:
    next(loader)
  assert "one after another cannot be used" in str(caught.value)


@pytest.mark.slow
def test_worker_processes_resume_exactly(make_loader):
  data = dataclasses.replace(small_records.DATA, workers=2)
  straight = make_loader(data=data)
  small_loader.take(straight, 3)
  state = straight.get_state()
  expected = small_loader.take(straight, 4)
  resumed = make_loader(data=data)
  resumed.set_states([state])
  small_loader.assert_equal(small_loader.take(resumed, 4), expected)
  seen = collections.Counter(
    task for task, _ in small_loader.ids(small_loader.take(straight, 10))
  )
  assert len(seen) == 3  # workers do not share out the datasets

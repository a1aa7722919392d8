"""The loader: resuming, hosts, epochs, mixtures, failures; prompt batches."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax import errors
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import stream_positions
from crab_jax.data import tasks
from tests.data import clips
from tests.data import small_records

_ROWS = configs.Rows(
  rows=2,
  tokens=256,
  frame_pairs=8,
  chunks=8,
  supervised=128,
  samples=6,
  waiting=5,
)
_SIZES = {"s4": 32, "arig": 16, "meld": 8}
# Without the shuffle of the mixture an epoch is a whole one.
_PLAIN = dataclasses.replace(small_records.DATA, shuffle_window=1)
_FOUND = [
  small_records.record(name, row)
  for name, size in _SIZES.items()
  for row in range(size)
]
_VAL = [small_records.record("arig", row, "val") for row in range(5)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  folder = tmp_path_factory.mktemp("records")
  small_records.write(folder, _FOUND + _VAL)
  return folder


@pytest.fixture(scope="module")
def tokenizer():
  return small_records.small_tokenizer(_FOUND)


@pytest.fixture
def make(root, tokenizer):
  """Makes loaders and closes them."""
  made = []

  def _make(rows=_ROWS, data=small_records.DATA, where=root, **options):
    model = small_records.MODEL
    made.append(
      pipeline.train_loader(
        prepared_records.read(where), tokenizer, data, model, rows, **options
      )
    )
    return made[-1]

  yield _make
  for loader in made:
    loader.close()


def _ids(batches) -> list[tuple[int, int]]:
  pairs = [batch["sample_ids"].reshape(-1, 2) for batch in batches]
  return [(int(t), int(r)) for t, r in np.concatenate(pairs) if t >= 0]


def _take(loader, count: int) -> list:
  return [next(loader) for _ in range(count)]


def _assert_equal(left, right) -> None:
  for a, b in zip(left, right, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_batches_have_the_documented_shape(make, tokenizer):
  batch = next(make())
  empty = batch_lib.empty(small_records.MODEL, _ROWS, tokenizer.pad)
  for key, value in empty.items():
    assert batch[key].shape == value.shape and batch[key].dtype == value.dtype
  assert (batch["tokens"][batch["segments"] == 0] == tokenizer.pad).all()


@pytest.mark.parametrize("before", [0, 1, 5])
def test_resuming_is_exact(make, before):
  straight = make()
  _take(straight, before)
  state = straight.get_state()
  assert isinstance(state, bytes)
  expected = _take(straight, 5)
  resumed = make()
  resumed.set_states([state])
  _assert_equal(_take(resumed, 5), expected)
  assert resumed.counters() == straight.counters()
  # And going back in the same loader, with batches made ahead.
  straight.set_states([state])
  _assert_equal(_take(straight, 5), expected)


def test_the_seed_decides(make):
  ids = [_ids(_take(make(seed=seed), 4)) for seed in (1, 1, 2)]
  assert ids[0] == ids[1] != ids[2]


def test_the_number_of_threads_does_not_matter(make):
  data = dataclasses.replace(small_records.DATA, threads=3, prefetch=0)
  _assert_equal(_take(make(), 3), _take(make(data=data), 3))


def test_epochs_are_complete_and_differ(make):
  """By size: each record is seen as often as any other, in new orders."""
  ids = _ids(_take(make(data=_PLAIN), 30))
  counts = collections.Counter(ids)
  assert set(counts) == {
    (tasks.Tasks().number(name), row)
    for name, size in _SIZES.items()
    for row in range(size)
  }
  assert max(counts.values()) - min(counts.values()) <= 1
  s4 = [row for task, row in ids if task == tasks.Tasks().number("s4")]
  assert s4[:32] != s4[32:64]


def test_weights_decide_the_mixture(make):
  loader = make(mixture={"s4": 1.0, "arig": 3.0})
  counts = collections.Counter(task for task, _ in _ids(_take(loader, 24)))
  s4, arig = (counts[tasks.Tasks().number(name)] for name in ("s4", "arig"))
  assert arig / s4 == pytest.approx(3, rel=0.1)
  assert counts.total() == s4 + arig
  assert loader.counters()["samples"] == {"s4": s4, "arig": arig}


def test_hosts_read_different_records(make):
  """Within an epoch, and half of the rows each."""
  one = dataclasses.replace(_ROWS, samples=1, waiting=1)
  hosts = [
    make(one, _PLAIN, process_index=i, process_count=2) for i in range(2)
  ]
  # A row holds one sample and one waits: 27 of the 28 of half an epoch.
  batches = [_take(host, 27) for host in hosts]
  assert batches[0][0]["tokens"].shape == (1, 256)
  first, second = map(_ids, batches)
  assert len(set(first)) == len(set(second)) == 27
  assert not set(first) & set(second)


def _move(make, before, after, batches=4):
  """What is taken by so many hosts, then by others; and the new ones' words.

  Each has a data configuration; all of one side have the same number.
  """
  rows = dataclasses.replace(_ROWS, rows=4)

  def begin(data):
    count = len(data)
    return [
      make(rows, one, process_index=i, process_count=count)
      for i, one in enumerate(data)
    ]

  first = begin(before)
  taken = [_ids(_take(loader, batches)) for loader in first]
  states = [loader.get_state() for loader in first]
  second = begin(after)
  words = {loader.set_states(states) for loader in second}
  taken += [_ids(_take(loader, batches)) for loader in second]
  return sum(taken, []), second, words


def _all_left(loaders):
  states = [json.loads(loader.get_state()) for loader in loaders]
  streams = [place for state in states for place in state["streams"]]
  return stream_positions.merged(
    [stream_positions.Place.of(place) for place in streams]
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
def test_other_hosts_take_just_what_is_left(make, before, after, workers):
  old, new = (
    dataclasses.replace(small_records.DATA, workers=count) for count in workers
  )
  taken, loaders, words = _move(make, [old] * before, [new] * after)
  (told,) = words
  assert f"of {before} hosts become" in told
  # The order itself: one sample a row, none overtakes another.
  one = dataclasses.replace(_ROWS, rows=1, samples=1, waiting=1)
  rest = _all_left(loaders)
  order = _ids(_take(make(one), rest.start))
  missing = collections.Counter(order[index] for index in rest.left)
  assert collections.Counter(taken) + missing == collections.Counter(order)
  counted = sum(
    (collections.Counter(x.counters()["samples"]) for x in loaders),
    collections.Counter(),
  )
  assert counted.total() == len(taken)


def test_the_same_hosts_move_nothing(make):
  data = [small_records.DATA] * 2
  _, _, words = _move(make, data, data)
  assert words == {None}


def test_a_state_of_an_earlier_version_is_refused(make):
  state = b'{"iterator": {"next_index": 3, "waiting": []}, "tally": {}}'
  with pytest.raises(errors.UserError, match="of an earlier version"):
    make().set_states([state])


def test_hosts_must_share_rows_equally(make):
  with pytest.raises(errors.UserError, match="multiple of the 3 hosts"):
    make(process_count=3)


def test_counters(make):
  loader = make()
  batches = _take(loader, 3)
  counters = loader.counters()
  used = sum(int((batch["segments"] > 0).sum()) for batch in batches)
  assert counters["useful_tokens"] == used
  assert counters["tokens"] == 3 * 2 * 256
  assert sum(counters["samples"].values()) == len(_ids(batches))
  assert counters["skipped"] == {} and counters["short_videos"] == 0


def test_bare_answers(make, tokenizer):
  batch = next(make(targets="answer"))
  labels = batch["labels"][0][batch["weights"][0] == 1]
  first = tokenizer.decode(labels[: list(labels).index(tokenizer.end)])
  assert first.startswith("\n<answer>") and "hear" not in first


@pytest.fixture
def damaged(tmp_path):
  """A folder whose third s4 record has a flipped byte, and other trouble."""
  found = [r for r in _FOUND if r.task != "arig" and r.row < 16]
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


def test_failures_are_skipped_counted_and_named(make, damaged):
  loader = make(where=damaged, max_bad_share=0.2, max_bad_task_share=0.5)
  ids = _ids(_take(loader, 25))
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
  resumed = make(where=damaged, max_bad_share=0.2, max_bad_task_share=0.5)
  resumed.set_states([loader.get_state()])
  assert resumed.counters() == counters
  _assert_equal(_take(resumed, 3), _take(loader, 3))


def test_too_many_failures_stop_the_run(make, damaged):
  loader = make(where=damaged, max_bad_share=0.2, max_bad_task_share=0.2)
  with pytest.raises(errors.UserError) as caught:
    _take(loader, 30)
  text = str(caught.value)
  assert "2 of 8 records of arig failed" in text and "20.0%" in text
  assert "arig/train/6" in text and "Rows.tokens=256" in text
  loader = make(where=damaged, max_bad_share=0.09, max_bad_task_share=0.9)
  with pytest.raises(errors.UserError, match="3 of 32 records of all"):
    _take(loader, 30)


def test_rows_too_small_for_a_dataset_stop_the_run(make):
  rows = dataclasses.replace(_ROWS, frame_pairs=1)
  with pytest.raises(errors.UserError, match="meld.*Rows.frame_pairs=1"):
    _take(make(rows), 30)


@pytest.mark.slow
def test_worker_processes_resume_exactly(make):
  data = dataclasses.replace(small_records.DATA, workers=2)
  straight = make(data=data)
  _take(straight, 3)
  state = straight.get_state()
  expected = _take(straight, 4)
  resumed = make(data=data)
  resumed.set_states([state])
  _assert_equal(_take(resumed, 4), expected)
  seen = collections.Counter(task for task, _ in _ids(_take(straight, 10)))
  assert len(seen) == 3  # workers do not share out the datasets


def test_one_pass_sees_each_record_once(root, tokenizer):
  for split, count in (("train", 56), ("val", 5)):
    batches = list(
      pipeline.one_pass(
        prepared_records.read(root),
        tokenizer,
        small_records.DATA,
        small_records.MODEL,
        _ROWS,
        split=split,
      )
    )
    ids = _ids(batches)
    assert len(ids) == len(set(ids)) == count
    assert {batch["tokens"].shape for batch in batches} == {(2, 256)}


@pytest.fixture(scope="module")
def maker(tokenizer) -> samples.SampleMaker:
  return samples.sample_maker(
    tokenizer, small_records.DATA, small_records.MODEL, tasks.Tasks()
  )


def test_prompt_batches(maker):
  chosen = _FOUND[::2]
  found = list(pipeline.prompt_batches(chosen, maker, 5))
  seen, shapes, lengths = [], set(), []
  for some, batch, failed in found:
    assert not failed
    seen += [record.id for record in some]
    shapes.add((batch["tokens"].shape, batch["frames"].shape[1]))
    used = (batch["segments"] > 0).sum(axis=1)
    lengths += used[: len(some)].tolist()
    assert not used[len(some) :].any()
    for record, row in zip(some, range(5), strict=False):
      expected = maker.prompt(record)
      length = len(expected["tokens"])
      assert used[row] == length
      np.testing.assert_array_equal(
        batch["tokens"][row, :length], expected["tokens"]
      )
      np.testing.assert_array_equal(
        batch["positions"][row, :length], expected["positions"]
      )
      pairs = len(expected["frames"])
      np.testing.assert_array_equal(
        batch["frames"][row, :pairs], expected["frames"]
      )
    assert not batch["weights"].any()
  assert sorted(seen) == sorted(record.id for record in chosen)
  assert lengths == sorted(lengths)
  assert len(shapes) <= 2
  assert len(found) == 6 and len(found[-1][0]) == 3


def test_failed_prompts_are_reported_not_dropped(maker):
  chosen = [
    small_records.record("s4", 0),
    small_records.record("s4", 1, audio=b"noise"),
    small_records.record("s4", 2, frames=[b"noise"]),
  ]
  found = list(pipeline.prompt_batches(chosen, maker, 4))
  failed = {
    record.id: reason for _, _, rows in found for record, reason in rows
  }
  assert failed == {"s4/train/1": "bad_audio", "s4/train/2": "bad_image"}
  answered = [record.id for some, batch, _ in found for record in some]
  assert answered == ["s4/train/0"]
  assert list(pipeline.prompt_batches(chosen[1:], maker, 4))[-1][:2] == (
    [],
    None,
  )
  assert list(pipeline.prompt_batches([], maker, 4)) == []

"""Held-out clips: chosen by split and limit, shared out, found by id."""

import dataclasses
import types

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.evaluation import held_out
from tests.data import small_records


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """ks has a test split with a row left out, mer24 only a val split."""
  place = tmp_path_factory.mktemp("records")
  rows = [0, 1, 3, 4, 5, 9]
  small_records.write(
    place,
    [small_records.record("ks", row, "test") for row in rows]
    + [small_records.record("mer24", row, "val") for row in range(3)],
  )
  return place


def _ids(clips):
  return [record.id for record in clips]


def test_test_else_val_and_the_limit(root):
  assert held_out.splits(prepared_records.read(root), configs.Evaluation()) == {
    "ks": "test",
    "mer24": "val",
  }
  clips = held_out.clips(
    prepared_records.read(root), configs.Evaluation(limit=2)
  )
  assert _ids(clips) == [
    "ks/test/0",
    "ks/test/1",
    "mer24/val/0",
    "mer24/val/1",
  ]
  assert (len(clips), clips.count("ks")) == (4, 2)
  assert _ids(clips.of("mer24")) == ["mer24/val/0", "mer24/val/1"]


def test_scenes_of_all_tasks_are_found_where_they_are_wanted(tmp_path):
  splits = ("test", "unified")
  small_records.write(
    tmp_path,
    [
      small_records.record(task, row, split)
      for task in ("ks", "ucf")
      for split in splits
      for row in range(2)
    ]
    + [small_records.record("ave", 0, "test")],
  )
  prepared = prepared_records.read(tmp_path)
  wanted = configs.Evaluation(unified=True)
  assert held_out.splits(prepared, wanted) == dict.fromkeys(
    ("ks", "ucf", "ave"), "test"
  )
  assert _ids(held_out.unified(prepared, wanted)) == [
    f"{task}/unified/{row}" for task in ("ks", "ucf") for row in range(2)
  ]
  of_one = dataclasses.replace(wanted, tasks=("ks",), limit=1)
  assert _ids(held_out.unified(prepared, of_one)) == ["ks/unified/0"]
  assert not held_out.unified(prepared, configs.Evaluation())


def test_what_a_base_learns_from_is_decoded_if_named():
  row = dataclasses.replace(
    tasks.Tasks()["mer24"], name="prose", evaluated=False, stream=None
  )
  sizes = {"ks": {"test": 2}, "prose": {"val": 3}}
  found = types.SimpleNamespace(table=tasks.Tasks((row,)), splits=lambda: sizes)
  assert held_out.splits(found, configs.Evaluation()) == {"ks": "test"}
  named = configs.Evaluation(tasks=("prose",))
  assert held_out.splits(found, named) == {"prose": "val"}


@pytest.mark.parametrize("processes", [1, 2, 4, 20])
def test_shares_are_all_the_clips_once(root, processes):
  clips = held_out.clips(prepared_records.read(root), configs.Evaluation())
  shares = [_ids(clips.share(i, processes)) for i in range(processes)]
  assert sorted(sum(shares, [])) == sorted(_ids(clips))
  assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_is_done_is_left_out(root):
  clips = held_out.clips(
    prepared_records.read(root), configs.Evaluation(tasks=("ks",))
  )
  left = clips.without({"ks/test/3", "ks/test/9", "another"})
  assert _ids(left) == ["ks/test/0", "ks/test/1", "ks/test/4", "ks/test/5"]
  assert clips.without(set()) is clips


@pytest.mark.parametrize(
  ("name", "there"),
  [
    ("ks/test/0", True),
    ("ks/test/9", True),
    ("ks/test/4", True),
    ("ks/test/2", False),
    ("ks/test/10", False),
    ("ks/val/4", False),
    ("ave/test/0", False),
    ("anything", False),
  ],
)
def test_a_record_is_found_by_its_id(root, name, there):
  found = held_out.clips(
    prepared_records.read(root), configs.Evaluation()
  ).find(name)
  assert (found.id == name) if there else found is None


def test_nothing_to_decode_is_an_error(root):
  with pytest.raises(errors.UserError, match="no test or val records of ave"):
    held_out.clips(
      prepared_records.read(root), configs.Evaluation(tasks=("ave",))
    )


def test_a_damaged_record_names_its_file(root):
  clips = held_out.clips(
    prepared_records.read(root), configs.Evaluation(tasks=("mer24",))
  )
  source = clips.sources["mer24"]

  class _Damaged:
    def __getitem__(self, index):
      raise held_out.samples.SampleError("bad_record", "file at byte 7")

  broken = dataclasses.replace(clips, sources={"mer24": _Damaged()})
  assert len(source) == 3
  with pytest.raises(errors.UserError, match="file at byte 7; prepare mer24"):
    broken[0]

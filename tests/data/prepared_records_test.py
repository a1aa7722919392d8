"""Folders of prepared records tell the rows of their tasks."""

import json

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import metadata
from crab_jax.data import preparation
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores
from tests.data import clips
from tests.data import own_rows
from tests.data import small_records

_CONFIG = configs.Preparation(frame_size=28, workers=1)


def _machines(source, count=2):
  """The annotations and media of the task machine."""
  for i in range(count):
    clips.write_video(source / f"machine/video/{i}.mp4", 6)
    clips.write_audio(source / f"machine/audio/{i}.wav", clips.tone(1.5))
  rows = [
    {
      "video_path": f"{i}.mp4",
      "audio_path": f"{i}.wav",
      "label": "It squeaks. <answer>belt</answer>.",
    }
    for i in range(count)
  ]
  clips.write_annotations(source, "machine", "train", rows)


def _table(folder, **changes):
  return scores.own_tasks(
    own_rows.write(folder, machine={**own_rows.MACHINE, **changes})
  )


def _prepare(folder, table=None, names=None):
  source, out = folder / "source", folder / "out"
  preparation.prepare(
    source, out, names, _CONFIG, show=lambda _: None, table=table
  )
  return out


def _stamps(folder):
  """When each shard was written."""
  found = {p.name: files.stamp(p) for p in files.find(folder, "*tfrecord*")}
  assert found
  return found


@pytest.fixture
def prepared(tmp_path):
  _machines(tmp_path / "source")
  return _prepare(tmp_path, _table(tmp_path))


def test_the_row_lies_beside_the_records(prepared):
  folder = records.folder(prepared, "machine")
  row = json.loads((folder / metadata.ROW).read_text())
  assert row == {"machine": own_rows.STORED_MACHINE}
  found = prepared_records.read(prepared)
  assert found.splits() == {"machine": {"train": 2}}
  assert found.table["machine"].question == own_rows.MACHINE["question"]


def test_a_task_file_may_add_tasks_but_change_none(prepared, tmp_path):
  path = own_rows.write(tmp_path, machine=own_rows.MACHINE, horn=own_rows.HORN)
  found = prepared_records.read(prepared, scores.own_tasks(path))
  assert [task.name for task in found.table.own] == ["horn", "machine"]
  with pytest.raises(
    errors.UserError,
    match='task machine differs: its "metric" is "uar" in the records .*,'
    ' "accuracy" in the task file',
  ):
    prepared_records.read(prepared, _table(tmp_path, metric="accuracy"))


def test_a_folder_of_an_earlier_version_holds_built_in_tasks(tmp_path):
  small_records.write(tmp_path, [small_records.record("ks", i) for i in (0, 1)])
  found = prepared_records.read(tmp_path)
  assert (found.splits(), found.table) == ({"ks": {"train": 2}}, tasks.Tasks())


def test_records_whose_row_is_lost_are_named(prepared):
  (records.folder(prepared, "machine") / metadata.ROW).unlink()
  with pytest.raises(errors.UserError, match="machine without their row"):
    prepared_records.read(prepared)


def test_a_column_that_no_record_depends_on_makes_no_records_anew(
  prepared, tmp_path
):
  folder = records.folder(prepared, "machine")
  before = _stamps(folder)
  _prepare(tmp_path, _table(tmp_path, metric="accuracy", family="diagnosis"))
  assert _stamps(folder) == before
  found = prepared_records.read(prepared).table["machine"]
  assert (found.metric, found.family) == ("accuracy", "diagnosis")


def test_a_column_that_records_depend_on_makes_them_anew(prepared, tmp_path):
  _prepare(tmp_path, _table(tmp_path, frames=2))
  (first, *_) = records.read_split(prepared, "machine", "train")
  assert len(first.frames) == 2
  assert prepared_records.read(prepared).table["machine"].frames == 2


def test_what_another_task_file_prepared_stays(prepared, tmp_path):
  clips.write_emotion(tmp_path / "source", "dfew", 3)
  _prepare(tmp_path, names=("dfew",))
  found = prepared_records.read(prepared)
  assert found.splits() == {"dfew": {"train": 3}, "machine": {"train": 2}}
  other = _table(tmp_path, question="What is broken?")
  with pytest.raises(
    errors.UserError, match='differs: its "question" is "What'
  ):
    _prepare(tmp_path, other, ("dfew",))


def test_the_place_of_a_row_makes_no_records_anew(prepared, tmp_path):
  rows = {"aaa": own_rows.HORN, "machine": own_rows.MACHINE}
  folder = records.folder(prepared, "machine")
  before = _stamps(folder)
  table = scores.own_tasks(own_rows.write(tmp_path, **rows))
  assert table.number("machine") == 20
  _prepare(tmp_path, table, ("machine",))
  assert _stamps(folder) == before

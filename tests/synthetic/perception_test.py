"""What the base learns from: scenes of its own, layouts of the sets, prose."""

import dataclasses
import json

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import preparation
from crab_jax.data import prepared_records
from crab_jax.data import prompts
from crab_jax.data import task_checks
from crab_jax.data import tasks
from crab_jax.synthetic import build
from crab_jax.synthetic import perception
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_WORLD = configs.World(train_samples=48, val_samples=8, perception=True)
_NAMES = [row.name for row in perception.ROWS]


def _contents(plan):
  return [dataclasses.replace(job, targets=()) for job in plan.jobs]


@pytest.fixture(scope="module")
def planned():
  """Row -> its plans of train and val."""
  return {
    row.name: [build.plan(row, split, _WORLD) for split in ("train", "val")]
    for row in perception.ROWS
  }


@pytest.mark.parametrize("row", perception.ROWS, ids=_NAMES)
def test_a_row_has_the_layout_of_a_set_and_a_wording(row):
  task_checks.check(row, row.name)
  layouts = {
    (task.frames, task.window, task.media) for task in tasks.Tasks().values()
  }
  assert (row.frames, row.window, row.media) in layouts
  assert row.name in prompts.load(None, perception.table()).tasks


@pytest.mark.parametrize("name", _NAMES)
def test_a_split_has_as_many_records_as_are_wanted(planned, name):
  assert [len(plan.records) for plan in planned[name]] == [48, 8]
  row = perception.table()[name]
  assert build.plan(row, "test", _WORLD) is None
  more = dataclasses.replace(_WORLD, train_factors={name: 3})
  assert len(build.plan(row, "train", more).records) == 144


@pytest.mark.parametrize("name", _NAMES)
def test_nothing_of_av_uie_is_said(planned, name):
  """No tag, box, point or interval, and no instruction of a set."""
  wording = prompts.load(None, tasks.Tasks()).tasks
  instructions = {prompt.question for prompt in wording.values()}
  for plan in planned[name]:
    for record in plan.records:
      said = record["question"] + record["description"]
      assert not set(said) & set("<>[](){}:")
      assert record["question"] not in instructions
      assert record["description"].endswith(".")


def test_no_scene_is_one_of_a_set(planned):
  """Faces have few parts: equal ones are told apart by their seeds."""
  of_sets = {
    job
    for task in tasks.Tasks().values()
    for split in ("train", "val", "test")
    if (plan := build.plan(task, split, _WORLD)) is not None
    for job in _contents(plan)
    if not isinstance(job, plans.Audio)
  }
  own = {
    job
    for pair in planned.values()
    for plan in pair
    for job in _contents(plan)
    if not isinstance(job, plans.Audio)
  }
  assert len(own) == 6 * 56
  assert not own & of_sets


def test_no_held_out_combination_is_shown(planned):
  for pair in planned.values():
    for job in [job for plan in pair for job in plan.jobs]:
      if isinstance(job.content, scenes.Scene):
        assert not any(thing.held_out for thing in job.content.things)


@pytest.mark.parametrize("name", _NAMES)
def test_the_files_of_every_record_are_written(planned, name):
  row = perception.table()[name]
  targets = {t for plan in planned[name] for j in plan.jobs for t in j.targets}
  for record in [r for plan in planned[name] for r in plan.records]:
    for key in row.media:
      kind = key.split("_")[0].rstrip("12")
      path = f"{name}/{kind}/{record[key]}"
      if row.visual == "image":  # a folder of pictures and their sound
        path = f"{name}/{record[key].split('/')[0]}/{record[key].split('/')[1]}"
      assert path in targets


def test_of_two_candidates_one_is_that_of_the_other_half(planned):
  for plan in planned["perceive_videos"]:
    for record in plan.records:
      stem = record["audio_path"].removesuffix(".wav")
      videos = record["video1_path"], record["video2_path"]
      assert f"{stem}.mp4" in videos
      if record["description"].count("video"):
        right = "first" if videos[0] == f"{stem}.mp4" else "second"
        said = record["description"].rstrip(".").split(", the second")
        verdicts = {
          "first": said[0][-3:] == "yes",
          "second": said[1][-3:] == "yes",
        }
        assert [name for name, fits in verdicts.items() if fits] == [right]


def test_a_seed_gives_the_same_again(planned):
  for row in perception.ROWS:
    again = build.plan(row, "train", _WORLD)
    assert again.records == planned[row.name][0].records
    other = build.plan(row, "train", dataclasses.replace(_WORLD, seed=1))
    assert other.records != again.records


def test_the_sets_alone_have_no_such_rows(tmp_path):
  assert not set(build.table(configs.World())) & set(_NAMES)
  world = configs.World(train_factors={"perceive_clip": 2})
  with pytest.raises(errors.UserError, match="unknown perceive_clip"):
    build.write(tmp_path, world)


@pytest.mark.slow
def test_its_records_can_be_prepared(planned, tmp_path):
  """Files, annotations, records of every row."""
  for name in _NAMES:
    plan = planned[name][1]
    for job in plan.jobs:
      job.write(tmp_path / "AVUIE_2", 32, 2)
    path = tmp_path / "AVUIE_2" / name / "train.json"
    path.write_text(json.dumps(plan.records))
  preparation.prepare(
    tmp_path,
    tmp_path / "out",
    config=configs.Preparation(frame_size=32, workers=1),
    show=lambda text: None,
    table=perception.table(),
  )
  prepared = prepared_records.read(tmp_path / "out")
  assert prepared.splits() == {name: {"train": 8} for name in _NAMES}

"""Segmentation: the audio selects a thing, the frames say where it is."""

import re

import pytest

from crab_jax.data import tasks
from crab_jax.synthetic import plans
from tests.synthetic import guessing


@pytest.mark.parametrize("task", ["s4", "ms3"])
def test_one_modality_does_not_know_the_box(task):
  pair = guessing.plans(task, 1000)
  assert guessing.hits(*pair).mean() < 0.2  # of eight boxes
  # The sound says which size; one of four quarters remains.
  assert guessing.hits(*pair, ("hearing",)).mean() < 0.33
  sight = guessing.hits(*pair, ("sight",)).mean()
  assert sight < 0.57  # two or three boxes are in view
  both = guessing.hits(*pair, ("sight", "hearing")).mean()
  assert both > sight + 0.1  # the guesser is good enough to tell


@pytest.mark.parametrize("task", ["s4", "ms3", "arig"])
def test_target_gives_the_box_of_the_sounding_thing(task):
  train, _ = guessing.plans(task, 60)
  things = {
    job.targets[0].split("/")[-1]: job.content.things for job in train.jobs
  }
  for record in train.records:
    vid, second = re.search(
      r"/(\w+)/frames/(\d)\.jpg$", record["image_path"]
    ).groups()
    assert record.get("frame_idx", 0) == int(second)
    (thing,) = [t for t in things[vid] if t.name == record["a_obj"]]
    numbers = [
      tuple(int(v) for v in group.split(","))
      for group in re.findall(r"\[([\d,]+)\]", record["label_content"])
    ]
    points = () if task == "arig" else thing.points
    assert numbers == [thing.box, *points]
    assert len(things[vid]) >= 2
    heard, _, seen = record["label_content"].partition(". ")
    assert heard.endswith(thing.name)
    # The answer repeats the only quarter that was named before it.
    answer, silent = seen.split(" Silent: ")
    assert re.findall(rf"{thing.name} (\w+)", answer) == [thing.quarter] * 2
    others = [it for it in things[vid] if it is not thing]
    assert all(f"{it.name} {it.quarter}" in silent for it in others)


def test_ms3_asks_two_seconds_of_one_picture():
  train, _ = guessing.plans("ms3", 60)
  for job in train.jobs:
    assert isinstance(job, plans.AvsFolder)
    assert len(set(job.sounding)) == 2
    assert len(job.sounding) == 5
  for first, second in zip(
    train.records[::2], train.records[1::2], strict=True
  ):
    assert first["vid"] == second["vid"]
    assert first["a_obj"] != second["a_obj"]


def test_arig_uses_the_clips_of_s4():
  jobs = []
  for name in ("s4", "arig"):
    assert tasks.Tasks()[name].family == "segmentation"
    jobs += guessing.plans(name, 12)[0].jobs
  merged = plans.merged(jobs)
  assert len(merged) == 12
  assert all(
    [target.split("/")[0] for target in job.targets] == ["s4", "arig"]
    for job in merged
  )

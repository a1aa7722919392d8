"""Ref-AVS: descriptions that fit and that do not."""

import collections
import re

import numpy as np

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.synthetic import build
from tests.synthetic import guessing


def _exists(plan) -> np.ndarray:
  return np.array([truth["answer"] != "false" for truth in plan.truths])


def test_the_words_do_not_tell_whether_it_exists():
  train, _ = guessing.plans("ref_avs", 2400)
  exists = _exists(train)
  assert exists.mean() == 0.5
  shares = collections.defaultdict(list)
  for truth, fits in zip(train.truths, exists, strict=True):
    words = truth["question"].split()
    shares["colour" if len(words) > 4 else "plain", words[-1]].append(fits)
  assert len(shares) == 3
  for form, fits in shares.items():
    assert 0.42 < np.mean(fits) < 0.58, form


def test_one_modality_does_not_tell_whether_it_exists():
  train, val = guessing.plans("ref_avs", 1500)
  for plan in (train, val):
    for truth in plan.truths:
      truth["answer"] = str(truth["answer"] != "false")
  for modalities in ((), ("sight",), ("hearing",)):
    assert guessing.hits(train, val, modalities).mean() < 0.58


def test_description_is_true_of_the_named_thing_only():
  train, _ = guessing.plans("ref_avs", 200)
  jobs = {job.targets[0].split("/")[-1]: job.content for job in train.jobs}
  for record, truth in zip(train.records, train.truths, strict=True):
    scene = jobs[record["vid"]]
    words = record["description"].lower()
    heard = scene.sounds[0].name
    fitting = [
      thing
      for thing in scene.things
      if (thing.name == heard) == words.endswith("sounds")
      and (thing.colour in words or len(words.split()) == 4)
    ]
    boxes = [
      [int(v) for v in group.split(",")]
      for group in re.findall(r"\[(\d+,\d+,\d+,\d+)\]", record["output"])
    ]
    assert boxes == [list(thing.box) for thing in fitting]
    assert (truth["answer"] == "false") == (not fitting)
    said = re.findall(r"<answer>(\w+)</answer>", record["output"])
    assert said == [str(bool(fitting)).lower()]


def test_test_records_are_seen_unseen_and_null():
  world = configs.World(test_samples=40)
  plan = build.plan(tasks.Tasks()["ref_avs"], "test", world)
  kinds = collections.Counter(record["split"] for record in plan.records)
  assert kinds == {"test_s": 10, "test_u": 10, "test_n": 20}
  for record, truth in zip(plan.records, plan.truths, strict=True):
    assert (record["split"] == "test_n") == (truth["answer"] == "false")
    if record["split"] != "test_n":
      assert truth["held_out"] == (record["split"] == "test_u")

"""Action: the motion is seen; which instrument it is, takes eye and ear."""

import collections

import pytest

from crab_jax.data import tasks
from crab_jax.synthetic import action
from tests.synthetic import guessing


@pytest.mark.parametrize("task", ["ks", "ucf"])
def test_a_class_needs_both_modalities(task):
  """Sight leaves two instruments (the first a little likelier), hearing two and
  four motions."""
  pair = guessing.plans(task, 960)
  assert guessing.hits(*pair).mean() < 0.1
  assert guessing.hits(*pair, ("sight",)).mean() < 0.7
  assert guessing.hits(*pair, ("hearing",)).mean() < 0.65 / 4 + 0.05


@pytest.mark.parametrize("task", ["ks", "ucf"])
def test_a_class_follows_from_the_scene(task):
  train, _ = guessing.plans(task, 120)
  for truth, record in zip(train.truths, train.records, strict=True):
    motion, *_, name = truth["answer"].split()
    assert motion in truth["sight"] and name in truth["hearing"]
    assert any(f"{name} " in feature for feature in truth["sight"])
    target = record[tasks.Tasks()[task].target]
    assert target.endswith(f"<answer>{truth['answer']}</answer>.")


def test_classes_are_balanced_in_every_split():
  for task, key in (("ks", "action"), ("ucf", "label")):
    for plan in guessing.plans(task, 240):
      counts = collections.Counter(record[key] for record in plan.records)
      assert len(counts) == len(action.CLASSES) == 24
      assert set(counts.values()) == {10}


def test_ucf_lies_in_class_folders():
  train, _ = guessing.plans("ucf", 24)
  for record in train.records:
    folder = record["label"].replace(" ", "")
    assert record["video_path"].startswith(f"{folder}/v_{folder}_")
    assert record["video_path"].endswith(".avi")
    assert record["audio_path"].endswith(".wav")
    answer = f"<answer>{record['label'].lower()}</answer>."
    assert record["new_label"].endswith(answer)

"""Action: ks needs eye and ear, ucf the eye."""

import collections

from crab_jax.synthetic import action
from tests.synthetic import guessing


def test_ks_needs_both_modalities():
  pair = guessing.plans("ks", 960)
  assert guessing.hits(*pair).mean() < 0.1
  assert guessing.hits(*pair, ("sight",)).mean() < 1 / 6 + 0.05
  assert guessing.hits(*pair, ("hearing",)).mean() < 1 / 4 + 0.05
  assert guessing.hits(*pair, ("sight", "hearing")).mean() > 0.95


def test_sight_suffices_for_ucf_and_hearing_does_not():
  pair = guessing.plans("ucf", 960)
  assert guessing.hits(*pair, ("hearing",)).mean() < 1 / 4 + 0.05
  assert guessing.hits(*pair, ("sight",)).mean() > 0.95


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

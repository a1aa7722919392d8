"""Matching: the answer follows from both modalities and from no less."""

import pytest

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.synthetic import build
from tests.synthetic import guessing


@pytest.mark.parametrize("task", ["a2v", "v2a"])
def test_one_modality_is_a_coin(task):
  pair = guessing.plans(task, 800)
  for modalities in ((), ("sight",), ("hearing",)):
    assert guessing.hits(*pair, modalities).mean() < 0.57
  both = guessing.hits(*pair, ("sight", "hearing"))
  assert both.mean() > 0.9  # the guesser is good enough to tell


@pytest.mark.parametrize("task", ["a2v", "v2a"])
def test_target_reasons_to_the_answer(task):
  train, _ = guessing.plans(task, 60)
  many = "video" if task == "a2v" else "audio"
  for record in train.records:
    correct = record[f"correct_{many}"]
    events = [record[f"{many}{number}_event"] for number in (1, 2)]
    one = "audio" if many == "video" else "video"
    assert events[0] != events[1]
    assert events[correct - 1] == record[f"{one}_event"]
    label = record["label"]
    assert label.endswith(f"<answer>{correct}</answer>.")
    assert f"{events[correct - 1]} yes {correct}" in label
    assert f"{events[2 - correct]} no" in label


def test_both_directions_share_their_clips():
  world = configs.World(train_samples=20)
  pools = []
  for name in ("a2v", "v2a"):
    jobs = build.plan(tasks.Tasks()[name], "train", world).jobs
    pools.append({job.content for job in jobs})
  assert pools[0] == pools[1]

"""Gains out of runs, against numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from crab_jax.ablation import comparison
from crab_jax.ablation import grid
from tests.ablation import fake_runs

_ALONE = {"ks": 0.5, "meld": 0.4, "cremad": 0.3}
# What the others add, by method; seed 1 adds as much again.
_ADDED = {
  "lora": {"ks": 0.1, "meld": -0.1, "cremad": 0.0},
  "ilora_e2": {"ks": 0.2, "meld": 0.1, "cremad": 0.1},
}


def _score(run, task):
  if run.label == grid.ALL:
    return _ALONE[task] + (1 + run.seed) * _ADDED[run.method][task]
  if "+" in run.label:
    return _ALONE[task] + (0.2 if task == "ks" else 0.05)
  return _ALONE[task] + (0.05 if run.budget == "steps" else 0)


def _loss(run, task):
  return np.exp(-_score(run, task))


@pytest.fixture(scope="module")
def results():
  return fake_runs.results(_score, _loss)


@pytest.mark.parametrize("measure", comparison.MEASURES)
def test_a_gain_is_above_zero_where_the_others_help(results, measure):
  """A score that rises and a log of a loss that falls are the same gain."""
  found = results.gains("lora", "reasoning", measure)
  np.testing.assert_allclose(found, [[0.1, -0.1, 0], [0.2, -0.2, 0]], atol=1e-9)


def test_the_second_reading_is_against_longer_training_alone(results):
  found = results.gains("ilora_e2", "reasoning", "score", "steps")
  np.testing.assert_allclose(found[0], [0.15, 0.05, 0.05])
  assert results.readings("reasoning") == ("samples", "steps")
  assert results.readings("answer") == ("samples",)


def test_clips_of_two_methods_are_compared_one_by_one():
  made = fake_runs.results(_score, _loss)
  assert comparison.clip_difference(made, "ilora_e2", "lora", "answer") is None
  for run, result in made.runs.items():
    for score in result["scores"].values():
      right = 3 if run.method == "ilora_e2" else 1
      score["clips"] = [1.0] * right + [0.0] * (4 - right)
  found = comparison.clip_difference(made, "ilora_e2", "lora", "answer")
  assert found.value == pytest.approx(0.5)
  assert 0 < found.low < 0.5 < found.high < 1
  same = comparison.clip_difference(made, "lora", "lora", "answer")
  assert same == (0.0, 0.0, 0.0)


def test_a_curve_is_the_mean_score_of_every_number_of_samples():
  study = dataclasses.replace(
    fake_runs.STUDY, curves=("lora",), curve_samples=(60, 480)
  )

  def score(run, task):
    return (run.samples or 240) / 1000 + 0.01 * run.seed

  points = comparison.curves(fake_runs.results(score, _loss, study=study))
  assert [(p.targets, p.samples) for p in points] == [
    (targets, samples)
    for targets in ("reasoning", "answer")
    for samples in (60, 240, 480)
  ]
  values = [point.score.value for point in points[:3]]
  np.testing.assert_allclose(values, [0.065, 0.245, 0.485])
  assert comparison.curves(fake_runs.results(score, _loss)) == []


def test_the_rates_are_those_that_were_tried():
  study = dataclasses.replace(
    fake_runs.STUDY, rates=(1e-3, 1e-2), rate_seeds=(9,)
  )
  found = fake_runs.results(
    _score, lambda run, task: np.exp(run.rate or 0), study=study
  ).rates()
  assert list(found) == ["lora", "ilora_e2", "alone"]
  assert found["alone"] == pytest.approx({1e-3: 1e-3, 1e-2: 1e-2})
  assert fake_runs.results(_score, _loss).rates() == {}


def test_pairs_are_family_against_family(results):
  """Each row's family gains its own mean; nothing stands on the diagonal."""
  names, found = results.pairs("ilora_e2", "score")
  assert names == ["action", "emotion"]
  assert found.shape == (2, 2, 2)
  assert np.isnan(found[:, [0, 1], [0, 1]]).all()
  np.testing.assert_allclose(found[0, 0, 1], 0.2)
  np.testing.assert_allclose(found[0, 1, 0], 0.05)
  np.testing.assert_allclose(results.pairs("ilora_e2", "loss")[1], found)


def test_samples_alone_over_samples_together(results):
  """12 alone, 10 together."""
  ratios = results.samples_ratio("answer")
  assert ratios == pytest.approx(dict.fromkeys(fake_runs.TASKS, 1.2))


def test_the_headline_has_a_line_for_every_method_and_reading(results):
  rows = comparison.headline(results)
  # (reasoning twice, answer once) x 2 methods x 2 measures
  assert len(rows) == 3 * 2 * 2
  row = next(r for r in rows if r.method == "lora" and r.targets == "answer")
  assert row.positive == pytest.approx((1 / 3,) * 3)
  assert row.negative == pytest.approx(1 / 3)
  assert row.gain.value == pytest.approx(0)


def test_a_run_that_is_missing_leaves_its_line_out(results):
  kept = {
    run: found
    for run, found in results.runs.items()
    if (run.label, run.method) != (grid.ALL, "lora")
  }
  part = dataclasses.replace(results, runs=kept)
  assert {row.method for row in comparison.headline(part)} == {"ilora_e2"}


def test_a_dataset_without_validation_records_has_no_loss(results):
  run = next(iter(results.runs))
  found = {**results.runs[run], "losses": {}}
  part = dataclasses.replace(results, runs={run: found})
  assert np.isnan(part.value(run, "ks", "loss"))


def test_the_difference_of_two_methods(results):
  """Seed 0: 0.4/3 - 0; seed 1 twice that."""
  found = comparison.difference(
    results, "ilora_e2", "lora", "reasoning", "score"
  )
  assert found.value == pytest.approx(0.2)
  assert 0.4 / 3 <= found.low < found.value < found.high <= 0.8 / 3


def test_reasoning_against_bare_answers():
  """Half a tenth more with reasoning for every dataset, seed 1 twice that."""

  def score(run, task):
    more = 0.05 * (1 + run.seed) * (run.targets == "reasoning")
    return _score(run, task) + more

  results = fake_runs.results(score, _loss)
  found = comparison.reasoning(results, "lora")
  assert found.value == pytest.approx(0.075)
  assert 0.05 <= found.low < found.value < found.high <= 0.1

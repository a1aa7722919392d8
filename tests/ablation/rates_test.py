"""The rate of an arm: who tries what, and which one is taken."""

import dataclasses
import math

import pytest

from crab_jax import configs
from crab_jax.ablation import grid
from crab_jax.ablation import rates
from tests.ablation import fake_runs

_GROUPS = fake_runs.GROUPS
_STUDY = dataclasses.replace(
  fake_runs.STUDY, rates=(1e-3, 1e-2), rate_seeds=(7, 8)
)
_JOINT = grid.Run(grid.ALL, fake_runs.TASKS, "ilora_e2", "answer", 0)
_ALONE = grid.Run("ks", ("ks",), "lora", "reasoning", 1, "steps")


def _results(losses):
  """Of every trial, the loss that `losses(run)` says; {} where it is None."""

  def of(run):
    found = losses(run)
    return {"losses": {} if found is None else {"ks": found, "meld": found}}

  return of


def test_the_trials_are_runs_of_their_own_seeds_and_names():
  trials = rates.sweep(_STUDY, _GROUPS)
  # Two methods together, three datasets alone; two rates, two seeds.
  assert len({run.name for run in trials}) == len(trials) == (2 + 3) * 2 * 2
  assert {run.seed for run in trials} == {7, 8}
  assert {run.targets for run in trials} == {"reasoning"}
  assert not {r.name for r in trials} & {
    r.name for r in grid.runs(_STUDY, _GROUPS)
  }


def test_a_study_without_rates_trains_with_that_of_its_optimizer():
  study = dataclasses.replace(
    fake_runs.STUDY, optimizer=configs.Optimizer(peak=0.25)
  )
  assert rates.sweep(study, _GROUPS) == []
  assert rates.chosen(study, _GROUPS, _JOINT, lambda run: None) == 0.25


@pytest.mark.parametrize(
  ("run", "arm"), [(_JOINT, "ilora_e2"), (_ALONE, rates.ALONE)]
)
def test_a_run_takes_the_best_rate_of_its_arm(run, arm):
  def losses(trial):
    return 1.0 if (rates.arm(trial) == arm) == (trial.rate == 1e-3) else 2.0

  assert rates.chosen(_STUDY, _GROUPS, run, _results(losses)) == 1e-3
  other = dataclasses.replace(_JOINT, method="lora")
  assert rates.chosen(_STUDY, _GROUPS, other, _results(losses)) == 1e-2


def test_a_rate_that_left_the_finite_numbers_has_lost():
  results = _results(lambda run: None if run.rate == 1e-3 else 1e9)
  assert rates.chosen(_STUDY, _GROUPS, _JOINT, results) == 1e-2
  found = rates.losses(_STUDY, _GROUPS, "lora", results)
  assert found[1e-3] == math.inf


def test_no_seed_outweighs_another():
  """Losses of 0.1 and 10 are as good as 1 and 1, and better than 1 and 1.1."""
  table = {(1e-3, 7): 0.1, (1e-3, 8): 10.0, (1e-2, 7): 1.0, (1e-2, 8): 1.1}
  results = _results(lambda run: table[run.rate, run.seed])
  assert rates.chosen(_STUDY, _GROUPS, _JOINT, results) == 1e-3


def test_while_a_trial_is_missing_there_is_no_rate():
  missing = rates.trials(_STUDY, _GROUPS, "ilora_e2", 1e-2)[-1]

  def results(run):
    return None if run == missing else {"losses": {"ks": 1.0}}

  assert rates.chosen(_STUDY, _GROUPS, _JOINT, results) is None
  assert rates.chosen(_STUDY, _GROUPS, _ALONE, results) is not None
  # A trial brings its own.
  assert rates.chosen(_STUDY, _GROUPS, missing, results) == 1e-2


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"rates": (1e-3,)}, "set both or none"),
    ({"rates": (1e-3,), "rate_seeds": (0,)}, "share a seed"),
    ({"rates": (1e-3, 1e-3), "rate_seeds": (9,)}, "each once"),
    ({"rates": (0.0,), "rate_seeds": (9,)}, "above 0"),
    ({"curves": ("lora",)}, "set both or none"),
    ({"curves": ("lora",), "curve_samples": (240,)}, "other than"),
    ({"curves": ("uniform",), "curve_samples": (60,)}, "must be among"),
  ],
)
def test_settings_that_contradict_each_other_are_named(changes, words):
  with pytest.raises(ValueError, match=words):
    dataclasses.replace(fake_runs.STUDY, **changes)

"""The runs of a study, the methods, their budgets."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.ablation import grid

_GROUPS = {"action": ("ks",), "localization": ("ave", "avvp")}
_TASKS = grid.datasets(_GROUPS)
_STUDY = configs.Transfer(
  methods=("lora", "ilora_e3"),
  seeds=(0, 1),
  same_steps=("reasoning",),
  pairs=("ilora_e3",),
)
_MODEL = configs.tiny(adapter=configs.ILora(rank=8, heads=3, alpha=16.0))


def _names(**wanted):
  return [
    run.label
    for run in grid.runs(_STUDY, _GROUPS)
    if all(getattr(run, name) == value for name, value in wanted.items())
  ]


def test_every_run_has_a_name_of_its_own():
  runs = grid.runs(_STUDY, _GROUPS)
  assert len({run.name for run in runs}) == len(runs)


def test_the_runs_of_a_seed():
  """2 targets x (2 joint + 3 alone), 2 families + 1 pair, 3 alone for long."""
  assert len(grid.runs(_STUDY, _GROUPS)) == 2 * (2 * 5 + 3 + 3)
  assert _names(seed=0, targets="answer", method="lora") == ["all", *_TASKS]
  assert _names(seed=1, budget="steps") == list(_TASKS)


def test_pairs_of_families_have_the_datasets_of_both():
  runs = {run.label: run for run in grid.runs(_STUDY, _GROUPS)}
  assert runs["localization"].tasks == ("ave", "avvp")
  assert runs["action+localization"].tasks == _TASKS


def test_the_comparison_comes_first_seed_by_seed():
  """2 x 2 x 5 runs of the comparison, 2 x 3 of long, 2 x 3 of pairs."""
  runs = grid.runs(_STUDY, _GROUPS)
  seeds = [run.seed for run in runs]
  assert seeds == 2 * ([0] * 5 + [1] * 5) + 2 * ([0] * 3 + [1] * 3)
  assert {run.targets for run in runs[:10]} == {"reasoning"}
  assert {run.budget for run in runs[:20]} == {"samples"}
  assert {run.budget for run in runs[20:26]} == {"steps"}
  assert {run.method for run in runs[26:]} == {"ilora_e3"}


@pytest.mark.parametrize(
  ("done", "seeds", "targets", "same_steps", "pairs"),
  [
    (5, (0,), ("reasoning",), (), ()),
    (9, (0,), ("reasoning",), (), ()),
    (10, (0, 1), ("reasoning",), (), ()),
    (19, (0, 1), ("reasoning",), (), ()),
    (20, (0, 1), ("reasoning", "answer"), (), ()),
    (26, (0, 1), ("reasoning", "answer"), ("reasoning",), ()),
    (32, (0, 1), ("reasoning", "answer"), ("reasoning",), ("ilora_e3",)),
  ],
)
def test_what_is_done_of_a_study_is_a_smaller_study(
  done, seeds, targets, same_steps, pairs
):
  runs = grid.runs(_STUDY, _GROUPS)
  found = grid.finished(_STUDY, _GROUPS, runs[:done])
  assert (found.seeds, found.targets) == (seeds, targets)
  assert (found.same_steps, found.pairs) == (same_steps, pairs)
  assert set(grid.runs(found, _GROUPS)) <= set(runs[:done])


def test_numbers_of_samples_come_last_with_both_targets():
  study = dataclasses.replace(
    _STUDY, curves=("ilora_e3",), curve_samples=(60, 120)
  )
  runs = grid.runs(study, _GROUPS)
  more = runs[len(grid.runs(_STUDY, _GROUPS)) :]
  assert [(run.samples, run.seed, run.targets) for run in more] == [
    (samples, seed, targets)
    for samples in (60, 120)
    for seed in (0, 1)
    for targets in ("reasoning", "answer")
  ]
  assert len({run.name for run in runs}) == len(runs)
  found = grid.finished(study, _GROUPS, runs[:-1])
  assert (found.curves, found.curve_samples) == (("ilora_e3",), (60,))
  assert grid.finished(study, _GROUPS, runs[:32]).curves == ()


def test_pairs_go_with_the_targets_that_they_were_trained_on():
  study = dataclasses.replace(_STUDY, targets=("answer", "reasoning"))
  runs = grid.runs(study, _GROUPS)
  lacking = [c for c in runs if c.name != "reasoning.all.lora.seed1"]
  found = grid.finished(study, _GROUPS, lacking)
  assert (found.targets, found.same_steps, found.pairs) == (("answer",), (), ())


def test_a_seed_that_lacks_a_run_is_no_study():
  assert grid.finished(_STUDY, _GROUPS, grid.runs(_STUDY, _GROUPS)[:4]) is None


def test_what_sets_the_steps_of_a_run():
  own = grid.Run("ks", ("ks",), "lora", "reasoning", 0)
  joint = grid.Run("all", _TASKS, "lora", "reasoning", 0)
  long = dataclasses.replace(own, budget="steps")
  assert own.counted(_TASKS) == ("ks",)
  assert joint.counted(_TASKS) == long.counted(_TASKS) == _TASKS


def test_methods_are_the_baselines_of_the_adapter():
  adapters = {name: grid.METHODS[name](_MODEL) for name in grid.METHODS}
  assert adapters["lora"].heads == 1
  assert adapters["lora"].rank == adapters["ilora_e3"].rank == 8
  assert adapters["uniform"].router == "uniform"
  assert not adapters["separate_a"].shared_a
  assert [adapters[f"ilora_e{e}"].heads for e in (2, 3, 4)] == [2, 3, 4]


def test_the_wide_adapter_has_the_parameters_of_ilora():
  wide = grid.model(_MODEL, "lora_wide")
  assert wide.adapter.scale == _MODEL.adapter.scale
  assert wide.adapter.heads == 1
  ratio = grid.parameters(wide) / grid.parameters(_MODEL)
  assert ratio == pytest.approx(1, abs=0.5 / wide.adapter.rank)


def test_plain_lora_has_no_router():
  """Rank 8: r (d + k) of each adapted projection, counted by the rank."""
  thin = dataclasses.replace(_MODEL, adapter=configs.ILora(rank=1, heads=1))
  assert grid.parameters(grid.model(_MODEL, "lora")) == 8 * grid.parameters(
    thin
  )


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("methods", ("nosuch",)),
    ("pairs", ("nosuch",)),
    ("baseline", "nosuch"),
    ("tasks", ("nosuch",)),
  ],
)
def test_a_wrong_name_is_named(field, value):
  study = dataclasses.replace(_STUDY, **{field: value})
  with pytest.raises(errors.UserError, match=rf"Transfer\.{field}.*nosuch"):
    grid.check(study, dict.fromkeys(_TASKS))

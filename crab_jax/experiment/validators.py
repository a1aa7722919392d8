"""What a stage is judged by while it trains, made from the settings."""

import functools

import jax

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import pipeline
from crab_jax.evaluation import spot_check
from crab_jax.experiment import setup
from crab_jax.training import losses
from crab_jax.training import runner as runner_lib
from crab_jax.training import validation


def make(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  runner: runner_lib.Runner,
  workspace: setup.Workspace,
) -> validation.Validator | None:
  """What validates a stage; None where nothing does."""
  config = experiment.validation
  if not config.every:
    return None
  held = _held_out(experiment, stage, workspace)
  # As answers are decoded; with dropout equal parameters would differ.
  quiet = losses.likelihood(model, dropout=False)
  batches = functools.partial(
    pipeline.one_pass,
    workspace.records,
    workspace.tokenizer,
    experiment.data,
    model,
    stage.rows,
    mixture=held,
    targets=stage.targets,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  best = None
  if config.best:
    folder = workspace.workdir / "checkpoints" / f"{stage.name}.best"
    best = validation.Best(folder, config.best)
  return validation.Validator(
    config,
    stage,
    measure=runner.make_eval_step(quiet, len(workspace.records.table)),
    batches=batches,
    processes=jax.process_count(),
    task_names=tuple(workspace.records.table),
    check=_check(experiment, stage, model, workspace, tuple(held)),
    best=best,
  )


def _held_out(
  experiment: configs.Experiment,
  stage: configs.Stage,
  workspace: setup.Workspace,
) -> dict[str, float]:
  """The part of a stage's mixture that has a val split."""
  mixture = stage.mixture or dict.fromkeys(workspace.records.table, 1.0)
  held = {
    task: mixture[task]
    for task, sizes in workspace.records.splits().items()
    if sizes.get("val") and mixture.get(task)
  }
  if not held:
    raise errors.UserError(
      f"Validation.every={experiment.validation.every} needs a val split, and"
      f" {workspace.records} has none for stage {stage.name}: set it to 0"
    )
  return held


def _check(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  workspace: setup.Workspace,
  held: tuple[str, ...],
) -> spot_check.SpotCheck | None:
  """What decodes clips of the datasets `held`; None where none are wanted."""
  if not experiment.validation.clips:
    return None
  folder = workspace.workdir / "validation" / stage.name
  return spot_check.make(
    workspace.records,
    workspace.tokenizer,
    experiment,
    model,
    held,
    # All hosts decode the same clips, and one writes them.
    folder if jax.process_index() == 0 else None,
  )

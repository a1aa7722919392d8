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
  place: setup.Place,
) -> validation.Validator | None:
  """What validates a stage; None where nothing does."""
  config = experiment.validation
  if not config.every:
    return None
  held = _held_out(experiment, stage, place)
  quiet = losses.likelihood(model, dropout=False)
  batches = functools.partial(
    pipeline.one_pass,
    place.records,
    place.tokenizer,
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
    folder = place.workdir / "checkpoints" / f"{stage.name}.best"
    best = validation.Best(folder, config.best)
  return validation.Validator(
    config,
    stage,
    measure=runner.make_eval_step(quiet, len(place.records.table)),
    batches=batches,
    processes=jax.process_count(),
    task_names=tuple(place.records.table),
    check=_check(experiment, stage, model, place, tuple(held)),
    best=best,
  )


def _held_out(
  experiment: configs.Experiment, stage: configs.Stage, place: setup.Place
) -> dict[str, float]:
  """The part of a stage's mixture that has a val split."""
  mixture = stage.mixture or dict.fromkeys(place.records.table, 1.0)
  held = {
    task: mixture[task]
    for task, sizes in place.records.splits().items()
    if sizes.get("val") and mixture.get(task)
  }
  if not held:
    raise errors.UserError(
      f"Validation.every={experiment.validation.every} needs a val split, and"
      f" {place.records} has none for stage {stage.name}: set it to 0"
    )
  return held


def _check(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  place: setup.Place,
  held: tuple[str, ...],
) -> spot_check.SpotCheck | None:
  """What decodes clips of the datasets `held`; None where none are wanted."""
  if not experiment.validation.clips:
    return None
  folder = place.workdir / "validation" / stage.name
  return spot_check.make(
    place.records,
    place.tokenizer,
    experiment,
    model,
    held,
    folder if jax.process_index() == 0 else None,
  )

"""The parameters of a run: what a stage starts from, and what is kept of them.

The frozen base is read or drawn, the adapter is laid beside it, and both are
written for good when the last stage is done.
"""

import dataclasses
import pathlib

import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax.experiment import groundwork
from crab_jax.models import thinker
from crab_jax.training import hosts
from crab_jax.training import meshed
from crab_jax.training import model_folder
from crab_jax.training import state as state_lib
from crab_jax.training import trainer
from crab_jax.weights import adapter
from crab_jax.weights import base as base_lib


def stage_model(
  experiment: configs.Experiment, stage: configs.Stage
) -> configs.Model:
  """The model of a stage: without the adapter while the base trains."""
  if stage.trains == "adapter":
    return experiment.model
  return dataclasses.replace(experiment.model, adapter=None)


def base(
  experiment: configs.Experiment, runner: trainer.Runner
) -> array_types.Tree:
  """The parameters that training starts from.

  Over a mesh every device is given its own parts, and no host holds more.
  """
  if experiment.base is not None:
    over_mesh = isinstance(runner, meshed.Meshed)
    return model_folder.load_params(
      pathlib.Path(experiment.base),
      runner.placed_shapes if over_mesh else None,
    )
  model = dataclasses.replace(experiment.model, adapter=None)
  return runner.born(
    lambda key: nn.meta.unbox(thinker.init(key, model)),
    jax.random.key(experiment.seed),
  )


def with_adapter(
  model: configs.Model,
  params: array_types.Tree,
  seed: int,
  runner: trainer.Runner,
) -> array_types.Tree:
  """The parameters with a fresh adapter beside them."""

  def make(key):
    made = nn.meta.unbox(thinker.init(key, model))
    return state_lib.split(made, "adapter")[0]

  return state_lib.merge(params, runner.born(make, jax.random.key(seed + 1)))


def keep(
  experiment: configs.Experiment,
  params: array_types.Tree,
  place: groundwork.Place,
) -> None:
  """Writes the model folder `base` and, after tuning, `adapter`."""
  files = {base_lib.TOKENIZER: place.workdir / base_lib.TOKENIZER}
  tuned, frozen = state_lib.split(params, "adapter")
  plain = dataclasses.replace(experiment.model, adapter=None)
  model_folder.save(place.workdir / "base", frozen, plain, files)
  if tuned:
    frozen = jax.tree.map(hosts.Gathered, frozen)
    fingerprint = adapter.fingerprint(frozen)  # one parameter at a time
    tuned = jax.tree.map(lambda leaf: np.asarray(hosts.Gathered(leaf)), tuned)
    if hosts.is_first():
      adapter.save(
        place.workdir / "adapter",
        tuned,
        experiment.model.adapter,
        fingerprint,
      )

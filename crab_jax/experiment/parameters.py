"""The parameters of a run: what a stage starts from, and what is kept of them.

The frozen base is read or drawn, the adapter is laid beside it, and both are
written for good when the last stage is done.
"""

import dataclasses

import jax
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import task_files
from crab_jax.experiment import setup
from crab_jax.models import ilora
from crab_jax.models import quantised
from crab_jax.paradigms import thinker
from crab_jax.training import hosts
from crab_jax.training import model_folder
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.weights import adapter
from crab_jax.weights import base as base_lib


def stage_model(
  experiment: configs.Experiment, stage: configs.Stage
) -> configs.Model:
  """See `state.stage_model`."""
  return state_lib.stage_model(experiment.model, stage.trains)


def _plain(model: configs.Model) -> configs.Model:
  return dataclasses.replace(model, adapter=None, frozen_dtype=None)


def base(
  experiment: configs.Experiment, runner: runner_lib.Runner
) -> array_types.Tree:
  """The parameters that training starts from.

  Over a mesh every device is given its own parts, and no host holds more.
  """
  if experiment.base is not None:
    return runner.load_params(files.path(experiment.base))
  model = _plain(experiment.model)
  return runner.init_sharded(
    lambda key: nn.meta.unbox(thinker.init(key, model)),
    jax.random.key(experiment.seed),
  )


def origin(experiment: configs.Experiment, params: array_types.Tree) -> str:
  """Tells one run's first parameters from another's.

  Args:
    experiment: whose.
    params: of `base`, on this host or on several.

  Returns:
    The fingerprint of a given base. Random weights go by their seed: where
    they are drawn, on one device or over a mesh, decides their last bits.
  """
  if experiment.base is None:
    return f"random weights of seed {experiment.seed}"
  return adapter.fingerprint(params, values_at=hosts.values_at)


def stored(
  model: configs.Model, params: array_types.Tree, runner: runner_lib.Runner
) -> array_types.Tree:
  """The base as the model of a stage stores it: in int8, if it says so.

  Raises:
    UserError: it is in int8, and the model wants the values that it had.
  """
  if quantised.is_quantised(params):
    if model.frozen_dtype is None:
      raise errors.UserError(
        'the base is stored in int8: set Model.frozen_dtype="int8", or start'
        " from the checkpoint that it was made of"
      )
    return params
  if model.frozen_dtype is None:
    return params
  return runner.init_sharded(
    lambda leaves: quantised.fit(leaves, model), params
  )


def with_adapter(
  model: configs.Model,
  params: array_types.Tree,
  seed: int,
  runner: runner_lib.Runner,
) -> array_types.Tree:
  """The parameters with a fresh adapter beside them, unless they have one."""
  if ilora.leaves(params):
    return params

  def make(key):
    made = nn.meta.unbox(thinker.init(key, model))
    return state_lib.split(made, "adapter")[0]

  return state_lib.merge(
    params, runner.init_sharded(make, jax.random.key(seed + 1))
  )


def keep(
  experiment: configs.Experiment,
  params: array_types.Tree,
  begun_with: str,
  workspace: setup.Workspace,
) -> None:
  """Writes the model folder `base` and, after tuning, `adapter`.

  A given base that no stage changed is not written again: `base` names it.

  Args:
    experiment: the settings.
    params: of the last stage.
    begun_with: `origin` of those of the first one.
    workspace: of the run.
  """
  names = (base_lib.TOKENIZER, task_files.FILE)
  beside = {name: workspace.workdir / name for name in names}
  if hosts.is_first():
    rows = task_files.to_json(workspace.records.table)
    files.write_json(beside[task_files.FILE], rows)
  tuned, frozen = state_lib.split(params, "adapter")
  plain = dataclasses.replace(
    experiment.model,
    adapter=None,
    frozen_dtype="int8" if quantised.is_quantised(frozen) else None,
  )
  fingerprint = adapter.fingerprint(frozen, values_at=hosts.values_at)
  folder = workspace.workdir / "base"
  if experiment.base is None or fingerprint != begun_with:
    model_folder.save(folder, frozen, plain, beside)
  else:
    given = files.path(experiment.base)
    model_folder.save_reference(folder, given, plain, beside)
  if tuned:
    # All hosts take part in gathering; only the first one writes.
    tuned = jax.tree.map(hosts.gathered, tuned)
    if hosts.is_first():
      adapter.save(
        workspace.workdir / "adapter",
        tuned,
        experiment.model.required_adapter,
        fingerprint,
        {task_files.FILE: beside[task_files.FILE]},
      )

"""The `pmap` strategy: parameters replicated, rows split over devices.

The default on a laptop, a Colab or one TPU host with a model that fits a chip.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import errors
from crab_jax import files
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib

AXIS = "batch"


class PmapRunner:
  """Runs `train_step` on every local device; see `runner.Runner`."""

  def __init__(self, rows: int, accumulate: int, **step_arguments):
    """Compiles nothing yet.

    Args:
      rows: rows of a step over all hosts.
      accumulate: micro-batches of a step.
      **step_arguments: likelihood, optimizer and tasks of `train_step`.

    Raises:
      UserError: the devices do not divide the rows.
    """
    devices = jax.device_count()
    if rows % (devices * accumulate):
      raise errors.UserError(
        f"Rows.rows={rows} must be a multiple of the {devices} devices times"
        f" Stage.accumulate={accumulate}"
      )
    step = functools.partial(
      step_lib.train_step, accumulate=accumulate, axis=AXIS, **step_arguments
    )
    # The state is donated: the next one takes its memory. Frozen leaves are
    # arguments of every step and stay.
    # One key for all: `train_step` folds the device's number in.
    self._step = jax.pmap(
      step, axis_name=AXIS, in_axes=(0, 0, 0, None), donate_argnums=(0,)
    )

  def shard(self, tree):
    """A copy of the arrays on every local device: [...] -> [devices, ...]."""
    devices = np.array(jax.local_devices())
    # The sharding of the step's own output. flax's `replicate` names the axis
    # otherwise, and the second step would compile again.
    mesh = jax.sharding.Mesh(devices, (AXIS,))
    sharding = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec(AXIS)
    )

    def replicate(leaf):
      value = np.asarray(leaf)[None]  # [1, ...], what each device is given
      shape = (len(devices), *value.shape[1:])
      return jax.make_array_from_callback(shape, sharding, lambda _: value)

    return jax.tree.map(replicate, tree)

  def fetch(self, tree):
    """One copy of the arrays, as numpy arrays on this host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), tree)

  def to_save(self, state: state_lib.State) -> state_lib.State:
    """The state as a checkpoint holds it: one copy."""
    return self.fetch(state)

  def to_restore(self, state: state_lib.State) -> state_lib.State:
    """The shapes of one copy, on the first device of this host."""
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=first),
      state,
    )

  def init_sharded(self, make: Callable[[Any], Any], argument: Any):
    """What `make` gives: one copy, on the default device."""
    return jax.jit(make)(argument)

  def load_params(self, folder: files.Path) -> array_types.Tree:
    """All parameters of a model folder, numpy arrays on this host."""
    # Orbax takes a second to import, and timing and planning read no folder.
    from crab_jax.training import model_folder

    return model_folder.load_params(folder)

  def shard_batch(self, batch: array_types.Batch) -> array_types.Batch:
    """This host's rows, [B, ...] -> [devices, B / devices, ...]."""
    count = jax.local_device_count()
    return {
      name: leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:])
      for name, leaf in batch.items()
    }

  def step(self, state: state_lib.State, frozen: array_types.Tree, batch, key):
    """`train_step`; its metrics are those of the global batch."""
    return self._step(state, frozen, batch, key)

  def make_eval_step(self, likelihood: step_lib.Likelihood, tasks: int):
    """(params, frozen, batch) -> the sums of `step.eval_step`, on this host."""
    eval_step = functools.partial(
      step_lib.eval_step, likelihood=likelihood, tasks=tasks, axis=AXIS
    )
    run = jax.pmap(eval_step, axis_name=AXIS)

    def sums(params, frozen, batch):
      return self.fetch(run(params, frozen, self.shard_batch(batch)))

    return sums

  def inspect(self, function, state: state_lib.State, frozen, batch):
    """`function(params, batch)`, on one device and this host's rows."""
    # The copies are equal: one of them, without the axis of devices.
    params, frozen = jax.tree.map(
      lambda leaf: leaf.addressable_data(0)[0], (state.params, frozen)
    )
    return function(state_lib.merge(params, frozen), batch)

"""The `mesh` strategy: one jitted step over a mesh of devices.

Parameters, float32 masters and moments are split over the mesh by
`training.sharding`; the compiler puts in the collectives. No host ever needs
the whole model: `create` makes random weights in place, `abstract` gives the
shapes and shardings that a reader of checkpoints restores into, and `place`
reads from every array only the parts that belong to this host's devices.
"""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.experimental import multihost_utils

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax.paradigms import thinker
from crab_jax.training import pmapped
from crab_jax.training import sharding
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib


def fresh(
  key: jax.Array,
  model: configs.Model,
  optimizer: optax.GradientTransformation,
  trains: str,
):
  """State and frozen leaves with random weights; run it under `jax.jit`."""
  params = nn.meta.unbox(thinker.init(key, model))
  trained, frozen = state_lib.split(params, trains)
  return state_lib.create(trained, optimizer), frozen


class Meshed:
  """Runs `train_step` on all devices; parts of the model on each."""

  def __init__(
    self,
    rows: int,
    accumulate: int,
    *,
    mesh: configs.Mesh,
    model: configs.Model,
    devices: Sequence[Any] | None = None,
    **step_arguments,
  ):
    """Compiles nothing yet.

    Args:
      rows: rows of a step over all hosts.
      accumulate: micro-batches of a step.
      mesh: its shape, and changes of the sharding rules.
      model: whose parameters are to be placed.
      devices: None: all there are.
      **step_arguments: likelihood, optimizer and tasks of `train_step`.

    Raises:
      UserError: the mesh does not fit the devices, the rows or the model.
    """
    self.mesh = sharding.make_mesh(mesh, devices)
    rules = sharding.rules_of(mesh)
    self.specs = sharding.parameter_specs(model, self.mesh.shape, rules)
    self._rules = sharding.rules_in_use(rules, model, self.mesh.shape)
    self._model = model
    self._optimizer = step_arguments["optimizer"]
    self._by_row = jax.sharding.NamedSharding(
      self.mesh, jax.sharding.PartitionSpec(rules["batch"])
    )
    self._whole = jax.sharding.NamedSharding(
      self.mesh, jax.sharding.PartitionSpec()
    )
    ways = self.mesh.size // self.mesh.shape["tensor"]
    if rows % (ways * accumulate):
      raise errors.UserError(
        f"Rows.rows={rows} must be a multiple of Mesh.data * Mesh.fsdp ="
        f" {ways} times Stage.accumulate={accumulate}"
      )
    step = functools.partial(
      step_lib.train_step, accumulate=accumulate, **step_arguments
    )

    def stay(*arguments):
      """The step, its state where it was: else the next call compiles anew."""
      state, sums = step(*arguments)
      state = jax.lax.with_sharding_constraint(state, self.shardings(state))
      return state, jax.lax.with_sharding_constraint(sums, self._whole)

    stay.__name__ = "train_step"
    self._step = jax.jit(stay, donate_argnums=(0,))

  def shardings(self, tree):
    """The sharding of every leaf; see `sharding.tree_shardings`."""
    return sharding.tree_shardings(tree, self.specs, self.mesh)

  def _make(self, key, *, trains: str):
    return fresh(key, self._model, self._optimizer, trains)

  def abstract(self, trains: str):
    """Shapes, dtypes and shardings of the state and the frozen leaves.

    Args:
      trains: "all" or "adapter", as `Stage.trains`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(functools.partial(self._make, trains=trains), key)
    return self.placed_shapes(shapes)

  def create(self, key: jax.Array, trains: str):
    """State and frozen leaves with random weights, born on their devices.

    Args:
      key: of the parameters.
      trains: "all" or "adapter", as `Stage.trains`.
    """
    return self.born(functools.partial(self._make, trains=trains), key)

  def place(self, tree):
    """Puts arrays on the devices, each device its part.

    Args:
      tree: parameters or a state. A leaf has a shape and answers
        `leaf[slices]`, as a memory-mapped file does; nothing else is read.
    """

    def put(leaf, where):
      if isinstance(leaf, jax.Array) and leaf.sharding == where:
        return leaf
      if isinstance(leaf, jax.Array):
        leaf = np.asarray(leaf)
      # A copy: the step frees its arguments, not the arrays of the caller.
      return jax.make_array_from_callback(
        leaf.shape, where, lambda index: np.array(leaf[index])
      )

    return jax.tree.map(put, tree, self.shardings(tree))

  def fetch(self, tree):
    """The whole arrays, as numpy arrays on every host."""

    def whole(leaf):
      if leaf.is_fully_addressable:
        return np.asarray(leaf)
      return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(whole, tree)

  def to_save(self, state: state_lib.State) -> state_lib.State:
    """The state as it is: every host writes its own parts."""
    return state

  def to_restore(self, state: state_lib.State) -> state_lib.State:
    """Shapes and places to read a checkpoint into: each host its parts.

    Args:
      state: the state before the first step, or its shapes.
    """
    return self.placed_shapes(state)

  def placed_shapes(self, tree):
    """The shape, dtype and sharding of every leaf."""
    return jax.tree.map(
      lambda leaf, where: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=where
      ),
      tree,
      self.shardings(tree),
    )

  def born(self, make: Callable[[Any], Any], argument: Any):
    """What `make` gives for its argument, every part on its own device.

    Args:
      make: gives parameters, or a state.
      argument: a key, or parameters.
    """
    where = self.shardings(jax.eval_shape(make, argument))
    return jax.jit(make, out_shardings=where)(argument)

  def put(self, batch: array_types.Batch) -> array_types.Batch:
    """This host's rows, as their part of the global batch."""
    return {
      name: jax.make_array_from_process_local_data(self._by_row, leaf)
      for name, leaf in batch.items()
    }

  def step(self, state: state_lib.State, frozen: array_types.Tree, batch, key):
    """`train_step`; its metrics are those of the global batch."""
    with jax.set_mesh(self.mesh), nn.logical_axis_rules(self._rules):
      return self._step(state, frozen, batch, key)

  def measurer(self, likelihood: step_lib.Likelihood, tasks: int):
    """(params, frozen, batch) -> the sums of `step.measure`, on this host."""
    run = jax.jit(
      functools.partial(step_lib.measure, likelihood=likelihood, tasks=tasks),
      out_shardings=self._whole,
    )

    def sums(params, frozen, batch):
      with jax.set_mesh(self.mesh), nn.logical_axis_rules(self._rules):
        return jax.tree.map(np.asarray, run(params, frozen, self.put(batch)))

    return sums

  def look(self, function, state: state_lib.State, frozen, batch):
    """`function(params, batch)`, on all devices and the global batch."""
    params = state_lib.merge(state.params, frozen)
    with jax.set_mesh(self.mesh), nn.logical_axis_rules(self._rules):
      return function(params, self.put(batch))

  def lower(self, trains: str, batch):
    """The step lowered for shapes alone, ready to be compiled.

    Args:
      trains: "all" or "adapter".
      batch: shapes and dtypes of the global batch.
    """
    state, frozen = self.abstract(trains)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def placed(leaf, where):
      return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    batch = {name: placed(leaf, self._by_row) for name, leaf in batch.items()}
    with jax.set_mesh(self.mesh), nn.logical_axis_rules(self._rules):
      return self._step.lower(state, frozen, batch, placed(key, self._whole))


def runner(
  rows: int,
  accumulate: int,
  *,
  mesh: configs.Mesh,
  model: configs.Model,
  **step_arguments,
) -> Meshed | pmapped.Pmap:
  """The way to run the step that the configuration asks for.

  Args:
    rows: rows of a step over all hosts.
    accumulate: micro-batches of a step.
    mesh: the strategy and its settings.
    model: whose parameters train.
    **step_arguments: likelihood, optimizer and tasks of `train_step`.

  Raises:
    UserError: the devices do not fit the rows or the model.
  """
  if mesh.strategy == "pmap":
    return pmapped.Pmap(rows, accumulate, **step_arguments)
  return Meshed(rows, accumulate, mesh=mesh, model=model, **step_arguments)

"""The `mesh` strategy: one jitted step over a mesh of devices.

Parameters, float32 masters and optimizer states are split over the mesh by
`training.sharding`; the compiler puts in the collectives. No host ever needs
the whole model: `init_sharded` computes every part on its own device,
`sharded_shapes` gives the shapes and shardings that a reader of checkpoints
restores into, and `shard` reads from every array only the parts that belong to
this host's devices.
"""

import contextlib
import functools
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.experimental import multihost_utils

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.configs import schedule
from crab_jax.training import sharding
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib


class MeshRunner:
  """Runs `train_step` over a mesh; see `runner.Runner`."""

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
      model: whose parameters are to be sharded.
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
    # The devices of a tensor group work on the same rows.
    ways = self.mesh.size // self.mesh.shape["tensor"]
    if rows % (ways * accumulate):
      raise errors.UserError(
        f"Rows.rows={rows} must be a multiple of Mesh.data * Mesh.fsdp ="
        f" {ways} times Stage.accumulate={accumulate}"
      )
    step = functools.partial(
      step_lib.train_step, accumulate=accumulate, **step_arguments
    )

    def sharded_step(*arguments):
      state, sums = step(*arguments)
      # The state keeps its sharding: if the compiler chose another, the next
      # call would compile again.
      state = jax.lax.with_sharding_constraint(state, self.shardings(state))
      return state, jax.lax.with_sharding_constraint(sums, self._whole)

    sharded_step.__name__ = "train_step"  # the name in traces and HLO
    # The state is donated: the next one takes its memory.
    self._step = jax.jit(sharded_step, donate_argnums=(0,))

  @contextlib.contextmanager
  def _scope(self) -> Iterator[None]:
    """Inside it programs find the mesh, and the rules of activations."""
    with jax.set_mesh(self.mesh), nn.logical_axis_rules(self._rules):
      yield

  def shardings(self, tree):
    """The sharding of every leaf; see `sharding.tree_shardings`."""
    return sharding.tree_shardings(tree, self.specs, self.mesh)

  def abstract(self, trains: schedule.Trains):
    """Shapes, dtypes and shardings of the state and the frozen leaves.

    Args:
      trains: as `Stage.trains`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(
      lambda key: state_lib.init(key, self._model, self._optimizer, trains), key
    )
    return self.sharded_shapes(shapes)

  def shard(self, tree):
    """Puts arrays on the devices, each device its part.

    Args:
      tree: parameters or a state. A leaf has a shape and answers
        `leaf[slices]`, as a memory-mapped file does; nothing else is read.
    """

    def put(leaf, sharding):
      # A restored state lies where it belongs: it must not pass the host.
      if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
        return leaf
      if isinstance(leaf, jax.Array):
        # Once to the host: each slice of a jax array would be a program.
        leaf = np.asarray(leaf)
      # `np.array` copies: on CPU a view would share memory with the caller's
      # array, and the step, which is donated the state, would free it.
      return jax.make_array_from_callback(
        leaf.shape, sharding, lambda index: np.array(leaf[index])
      )

    return jax.tree.map(put, tree, self.shardings(tree))

  def fetch(self, tree):
    """The whole arrays, as numpy arrays on every host."""

    def whole(leaf):
      if leaf.is_fully_addressable:
        return np.asarray(leaf)
      # Of an array that is split over hosts jax gathers only with `tiled`.
      return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(whole, tree)

  def to_save(self, state: state_lib.State) -> state_lib.State:
    """The state as it is: every host writes its own parts."""
    return state

  def to_restore(self, state: state_lib.State) -> state_lib.State:
    """The shapes and shardings of a state: each host reads its parts."""
    return self.sharded_shapes(state)

  def sharded_shapes(self, tree):
    """The shape, dtype and sharding of every leaf."""
    return jax.tree.map(
      lambda leaf, sharding: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      tree,
      self.shardings(tree),
    )

  def init_sharded(self, make: Callable[[Any], Any], argument: Any):
    """What `make` gives, every part computed on its own device."""
    # By `out_shardings` every device computes and holds its part alone.
    shardings = self.shardings(jax.eval_shape(make, argument))
    return jax.jit(make, out_shardings=shardings)(argument)

  def load_params(self, folder: files.Path) -> array_types.Tree:
    """The parameters of a model folder; every host reads its parts."""
    # Orbax takes a second to import, and timing and planning read no folder.
    from crab_jax.training import model_folder

    return model_folder.load_params(folder, self.sharded_shapes)

  def shard_batch(self, batch: array_types.Batch) -> array_types.Batch:
    """This host's rows, as their part of the global batch."""
    return {
      name: jax.make_array_from_process_local_data(self._by_row, leaf)
      for name, leaf in batch.items()
    }

  def step(self, state: state_lib.State, frozen: array_types.Tree, batch, key):
    """`train_step`; its metrics are those of the global batch."""
    # The first call traces the step, which asks for the mesh and the rules.
    with self._scope():
      return self._step(state, frozen, batch, key)

  def make_eval_step(self, likelihood: step_lib.Likelihood, tasks: int):
    """(params, frozen, batch) -> the sums of `step.eval_step`, on this host."""
    run = jax.jit(
      functools.partial(step_lib.eval_step, likelihood=likelihood, tasks=tasks),
      out_shardings=self._whole,  # every host can read the sums
    )

    def sums(params, frozen, batch):
      with self._scope():
        batch = self.shard_batch(batch)
        return jax.tree.map(np.asarray, run(params, frozen, batch))

    return sums

  def inspect(self, function, state: state_lib.State, frozen, batch):
    """`function(params, batch)`, on all devices and the global batch."""
    params = state_lib.merge(state.params, frozen)
    with self._scope():
      return function(params, self.shard_batch(batch))

  def lower(self, trains: schedule.Trains, batch):
    """The step lowered for shapes alone, ready to be compiled.

    Args:
      trains: as `Stage.trains`.
      batch: shapes and dtypes of the global batch.
    """
    state, frozen = self.abstract(trains)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def sharded(leaf, sharding):
      return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    batch = {name: sharded(leaf, self._by_row) for name, leaf in batch.items()}
    with self._scope():
      return self._step.lower(state, frozen, batch, sharded(key, self._whole))

"""How the training step runs: the protocol of a strategy, and who builds one.

`step.train_step` is one pure function. A runner compiles it for the devices
there are and moves arrays to and from them. There are two: `pmapped.PmapRunner`
(parameters replicated) and `meshed.MeshRunner` (parameters split over a mesh).
Only `build` knows which one a configuration asks for: whoever holds a runner
calls the methods below and does not ask.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import TypeVar
from typing import runtime_checkable

import jax
import optax

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import meshed
from crab_jax.training import pmapped
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib

_Result = TypeVar("_Result")


@runtime_checkable
class Runner(Protocol):
  """One way to run the step.

  Trees have one of two layouts. *Whole*: one copy of every array, as a file or
  a fresh initialisation gives it. *Sharded*: as the step takes and returns it.
  `shard` goes from the first to the second, `fetch` back.
  """

  def init_sharded(self, make: Callable[[Any], Any], argument: Any) -> Any:
    """Compiles `make` and runs it once, so that no device holds too much.

    Args:
      make: gives parameters or a state, or a tuple of both.
      argument: of `make`: a key, or parameters.

    Returns:
      What `make` gives. On a mesh every device computes and holds its part
      alone; under pmap it is one whole copy. Pass it to `shard`.
    """

  def load_params(self, folder: files.Path) -> array_types.Tree:
    """The parameters of a model folder; pass them to `shard`.

    On a mesh a host reads only the parts of its devices; under pmap all, into
    the memory of the host.

    Raises:
      UserError: the folder holds no complete parameters, or damaged ones.
    """

  def shard(self, tree: Any) -> Any:
    """Whole arrays -> the layout of the step, on the devices.

    Args:
      tree: parameters or a state. A leaf has a shape and answers
        `leaf[slices]`, as a memory-mapped file does.
    """

  def shard_batch(self, batch: array_types.Batch) -> array_types.Batch:
    """This host's rows -> their part of the global batch, on the devices.

    Args:
      batch: arrays [rows of this host, ...], see `crab_jax.batch`.
    """

  def fetch(self, tree: Any) -> Any:
    """Sharded arrays -> whole ones, numpy arrays on every host.

    All hosts call it: over a mesh of several hosts it gathers.
    """

  def to_save(self, state: state_lib.State) -> state_lib.State:
    """A sharded state, as `StageCheckpoints.save` takes it."""

  def to_restore(self, state: state_lib.State) -> state_lib.State:
    """The shapes and shardings to restore a checkpoint into.

    Args:
      state: before the first step, whole; its shapes will do.

    Returns:
      `jax.ShapeDtypeStruct`s, for `StageCheckpoints.restore`. What that gives
      must go through `shard`.
    """

  def step(
    self,
    state: state_lib.State,
    frozen: array_types.Tree,
    batch: array_types.Batch,
    key: jax.Array,
  ) -> tuple[state_lib.State, step_lib.Metrics]:
    """`step.train_step` on all devices.

    Args:
      state: sharded; donated, so it must not be used again.
      frozen: sharded.
      batch: of `shard_batch`.
      key: dropout key of the run, the same for every step.

    Returns:
      The next state, sharded, and sums of the global batch, which may have an
      axis of equal values in front (one for each device).
    """

  def make_eval_step(
    self, likelihood: step_lib.Likelihood, tasks: int
  ) -> Callable[
    [array_types.Tree, array_types.Tree, array_types.Batch], step_lib.Metrics
  ]:
    """`step.eval_step` as a function (params, frozen, batch) -> sums.

    Args:
      likelihood: without dropout.
      tasks: number of datasets.

    Returns:
      A function of sharded parameters and this host's rows, whole; its sums
      are those of the global batch, numpy arrays on this host.
    """

  def inspect(
    self,
    function: Callable[[array_types.Tree, array_types.Batch], _Result],
    state: state_lib.State,
    frozen: array_types.Tree,
    batch: array_types.Batch,
  ) -> _Result:
    """`function(params, batch)` between two steps, without an update.

    Args:
      function: of all parameters, the trainable among them.
      state: sharded.
      frozen: sharded.
      batch: this host's rows, whole. On a mesh the function is given the
        global batch; under pmap these rows, and one copy of the parameters.
    """


def build(
  rows: int,
  accumulate: int,
  *,
  mesh: configs.Mesh,
  model: configs.Model,
  likelihood: step_lib.Likelihood,
  optimizer: optax.GradientTransformation,
  tasks: int,
) -> Runner:
  """The runner that a configuration asks for; compiles nothing yet.

  Args:
    rows: rows of a step over all hosts.
    accumulate: micro-batches of a step.
    mesh: the strategy and its settings.
    model: whose parameters train.
    likelihood: with dropout, see `losses.likelihood`.
    optimizer: see `optim.optimizer`.
    tasks: number of datasets.

  Raises:
    UserError: the devices do not fit the rows or the model, or the adapter
      cannot tell so many tasks apart.
  """
  if model.adapter and (obstacle := model.adapter.task_obstacle(tasks)):
    raise errors.UserError(obstacle)
  arguments = {
    "likelihood": likelihood,
    "optimizer": optimizer,
    "tasks": tasks,
  }
  if mesh.strategy == "pmap":
    return pmapped.PmapRunner(rows, accumulate, **arguments)
  return meshed.MeshRunner(
    rows, accumulate, mesh=mesh, model=model, **arguments
  )

"""The routers' numbers for the log of a run, out of one batch in a while.

A forward pass over the batch that was just trained on: a third of a step's
time, once every `Logging.router_every` steps.
"""

from crab_jax import array_types
from crab_jax import configs
from crab_jax.training import gates
from crab_jax.training import router


class Monitor:
  """Scalars of the routers; compiles once for a shape.

  Args:
    model: its adapter routes (see `router.has_router`).
    tasks: number of datasets.
  """

  def __init__(self, model: configs.Model, tasks: int):
    self._watch = router.Watch(model, tasks)
    self._heads = model.adapter.heads
    self._tasks = tasks

  def __call__(
    self, params: array_types.Tree, batch: array_types.Batch
  ) -> dict[str, float]:
    """ "router/{tower}/{name}" -> number, see `gates.summary`."""
    found = self._watch(params, batch)
    towers = gates.summary(found, self._heads, self._tasks)
    return {
      f"router/{tower}/{name}": value
      for tower, numbers in towers.items()
      for name, value in numbers.items()
    }


def of(model: configs.Model, tasks: int) -> Monitor | None:
  """The monitor of a model; None: it has no router."""
  return Monitor(model, tasks) if router.has_router(model) else None

"""The routers' numbers for the log of a run, out of one batch in a while.

A forward pass over the batch that was just trained on: a third of a step's
time, once every `Logging.router_every` steps.
"""

from typing import Any

import numpy as np

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.routers import gates
from crab_jax.routers import heads as heads_lib
from crab_jax.routers import statistics as router_statistics


class Monitor:
  """Numbers of the routers; compiles once for a shape.

  Args:
    model: its adapter routes (`Model.routes`).
    tasks: number of datasets.
  """

  def __init__(self, model: configs.Model, tasks: int):
    self._collector = router_statistics.Collector(model, tasks)
    self._heads = model.required_adapter.heads
    self._tasks = tasks

  def __call__(self, params: at.Tree, batch: at.Batch) -> dict[str, Any]:
    """What the routers do with a batch.

    Returns:
      "router/{tower}/{name}" -> number, of `gates.summary` and
      `heads.while_training`; "router/gates" and "router/entropy" -> projection
      -> nested lists [L, Q, E] and [L, Q], rounded: groups Q are the datasets,
      then the kinds of token; None where the batch has none.
    """
    found = self._collector(params, batch)
    towers = gates.summary(found, self._heads, self._tasks)
    alike = heads_lib.while_training(params)
    return {
      f"router/{tower}/{name}": value
      for tower, numbers in towers.items()
      for name, value in {**numbers, **alike[tower]}.items()
    } | {
      "router/gates": _lists(found.gates(self._heads)),
      "router/entropy": _lists(found.entropy(self._heads)),
    }


def _lists(found: dict[str, np.ndarray]) -> dict[str, list]:
  return {name: _plain(leaf) for name, leaf in found.items()}


def _plain(values: np.ndarray) -> list:
  """Nested lists, None for NaN: JSON knows no NaN."""
  rounded = np.round(values, 4).astype(object)
  rounded[np.isnan(values)] = None
  return rounded.tolist()


def of(model: configs.Model, tasks: int) -> Monitor | None:
  """The monitor of a model; None: it has no router."""
  return Monitor(model, tasks) if model.routes else None

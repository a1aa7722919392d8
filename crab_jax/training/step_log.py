"""The log of a loop: losses, rates and routers of its steps, and validations.

A loop whose steps nobody reads, such as a short run of a study, has `NoLog`.
"""

import time
from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.training import health
from crab_jax.training import metrics
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib
from crab_jax.training import validation

# (all parameters, batch) -> numbers of the routers
Monitor = Callable[..., dict[str, Any]]


@runtime_checkable
class Log(Protocol):
  """What the loop reports to."""

  def begin(self, first: int) -> None:
    """The loop begins behind step `first`."""

  def batch_read(self, batch: array_types.Batch, seconds: float) -> None:
    """The loop waited for a batch of this host."""

  def step_done(
    self,
    step: int,
    sums: step_lib.Metrics,
    state: state_lib.State,
    frozen: array_types.Tree,
    batch: array_types.Batch,
  ) -> None:
    """A step was dispatched.

    Args:
      step: its number.
      sums: what it gave.
      state: the next state, sharded.
      frozen: sharded.
      batch: this host's rows, whole.
    """

  def restored(self, step: int, seconds: float) -> None:
    """The loop begins behind a step, whose state it read in so long."""

  def saved(self, seconds: float) -> None:
    """The loop stood still for a checkpoint."""

  def step_saved(self) -> None:
    """All that belongs to a step is done."""

  def has_validation(self, step: int) -> bool:
    """Whether an earlier start logged the validation after a step."""

  def validated(
    self, step: int, scalars: validation.Scalars, start: float
  ) -> None:
    """A validation, which began at `time.perf_counter()` = `start`."""

  def close(self) -> None: ...


class NoLog:
  """Writes nothing."""

  def begin(self, first: int) -> None:
    pass

  def batch_read(self, batch: array_types.Batch, seconds: float) -> None:
    pass

  def step_done(self, step: int, sums, state, frozen, batch) -> None:
    pass

  def restored(self, step: int, seconds: float) -> None:
    pass

  def saved(self, seconds: float) -> None:
    pass

  def step_saved(self) -> None:
    pass

  def has_validation(self, step: int) -> bool:
    del step
    return False

  def validated(
    self, step: int, scalars: validation.Scalars, start: float
  ) -> None:
    pass

  def close(self) -> None:
    pass


class StepLog:
  """Writes lines of metrics and shows a progress bar.

  Args:
    stage: of the loop.
    config: at which steps it writes.
    writer: of the whole run.
    runner: lets the monitor see the parameters.
    learning_rate: updates done -> rate of the next one.
    task_names: of the datasets, by number.
    monitor: of the routers; None: there are none.
    peak: what MFU is measured by; None: it is not.
  """

  def __init__(
    self,
    stage: configs.Stage,
    config: configs.Logging,
    writer: metrics.Writer,
    runner: runner_lib.Runner,
    learning_rate: Callable[[int], Any],
    task_names: tuple[str, ...],
    monitor: Monitor | None = None,
    peak: health.Peak | None = None,
  ):
    self._peak = peak
    self._stage, self._config, self._writer = stage, config, writer
    self._runner, self._learning_rate = runner, learning_rate
    self._task_names, self._monitor = task_names, monitor
    self._meter: metrics.Meter  # of `begin`
    self._health: health.Health

  def begin(self, first: int) -> None:
    # Lines behind the checkpoint will be written again.
    self._writer.rewind(self._stage.name, first)
    self._meter = metrics.Meter(self._stage.name, first, self._stage.steps)
    self._health = health.Health(self._peak)

  def restored(self, step: int, seconds: float) -> None:
    self._health.restored(step, seconds)

  def saved(self, seconds: float) -> None:
    self._health.spent("save", seconds)

  def batch_read(self, batch: array_types.Batch, seconds: float) -> None:
    self._meter.waited(seconds)
    self._health.spent("data", seconds)
    self._meter.count(batch, jax.process_count())

  def step_done(self, step: int, sums, state, frozen, batch) -> None:
    routers = self._routers(step, state, frozen, batch)
    last = step == self._stage.steps
    if last or routers or step % self._config.every == 0:
      scalars = {**self._scalars(step, sums), **routers}
      self._writer.write(self._stage.name, step, scalars)
      found, slow = self._health.line(step)
      self._writer.health(self._stage.name, step, found)
      self._meter.show({**scalars, **found})
      if slow:
        print(f"{self._stage.name}, step {step}: {slow}", flush=True)

  def _routers(self, step: int, state, frozen, batch) -> dict[str, Any]:
    """What the routers do, where their interval ends."""
    every = self._config.router_every
    if self._monitor is None or not every or step % every:
      return {}
    return self._runner.inspect(self._monitor, state, frozen, batch)

  def _scalars(self, step: int, sums: step_lib.Metrics) -> dict[str, Any]:
    values = {name: np.asarray(leaf) for name, leaf in sums.items()}
    norms = [name for name in values if name.startswith("gradient_norm")]
    # Under pmap every device has a copy in front: the first one will do.
    scalars = {
      **{name: float(np.ravel(values[name])[0]) for name in ("loss", *norms)},
      # The rate of this step: the schedule counts the updates before it.
      "learning_rate": float(self._learning_rate(step - 1)),
      **self._meter.rates(),
    }
    nll, tokens = (
      values[name].reshape(-1, len(self._task_names))[0]
      for name in ("task_nll", "task_tokens")
    )
    for name, total, count in zip(self._task_names, nll, tokens, strict=True):
      if count:
        scalars[f"loss/{name}"] = float(total / count)
    return scalars

  def step_saved(self) -> None:
    self._meter.tick()

  def has_validation(self, step: int) -> bool:
    return self._writer.has(self._stage.name, step, validation.PREFIX)

  def validated(
    self, step: int, scalars: validation.Scalars, start: float
  ) -> None:
    self._writer.write(self._stage.name, step, scalars)
    # A validation counts in no rate of training.
    seconds = time.perf_counter() - start
    self._meter.paused(seconds)
    self._health.spent("evaluation", seconds)

  def close(self) -> None:
    self._meter.close()

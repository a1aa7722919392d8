"""The training loop of one stage."""

import dataclasses
import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import checkpoint
from crab_jax.training import compilation
from crab_jax.training import hosts
from crab_jax.training import metrics as metrics_lib
from crab_jax.training import preemption
from crab_jax.training import profiling
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import validation as validation_lib


@runtime_checkable
class Loader(Protocol):
  """An endless, resumable source of this host's batches."""

  def __next__(self) -> array_types.Batch: ...
  def get_state(self) -> bytes: ...
  def set_states(self, states: Sequence[bytes]) -> str | None: ...


class Stopped(Exception):
  """The run was asked to stop (SIGTERM) and has saved its state."""


@dataclasses.dataclass
class Loop:
  """What the loop of a stage needs; `run` is the loop."""

  stage: configs.Stage
  saving: configs.Saving
  logging: configs.Logging
  runner: runner_lib.Runner
  loader: Loader
  checkpoints: checkpoint.StageCheckpoints
  writer: metrics_lib.Writer
  learning_rate: Callable[[int], float]
  task_names: tuple[str, ...]
  notice: preemption.Notice
  profiler: profiling.Profiler = dataclasses.field(
    default_factory=lambda: profiling.Profiler(None, files.path("."))
  )
  validator: validation_lib.Validator | None = None  # None: no validation
  # (params, batch) -> numbers of the routers; None: there is no router
  monitor: Callable[..., dict[str, Any]] | None = None

  def run(
    self, state: state_lib.State, frozen: array_types.Tree, key: jax.Array
  ) -> state_lib.State:
    """Trains to the last step; goes on from the newest checkpoint.

    Args:
      state: the state before the first step; where there is a checkpoint its
        shapes will do.
      frozen: leaves that do not train.
      key: dropout key.

    Returns:
      The state after the last step, as `Runner.to_save` gives it.

    Raises:
      UserError: the loss is not finite, or a checkpoint cannot be written.
      Stopped: SIGTERM came; the state is saved.
    """
    state = self._resume(state)
    first = int(state.step)
    self.writer.rewind(self.stage.name, first)
    state, frozen = self.runner.shard(state), self.runner.shard(frozen)
    meter = metrics_lib.Meter(self.stage.name, first, self.stage.steps)
    watch = compilation.Watch(self.stage.name)
    try:
      if first and self._due(first) and not self._validated(first):
        self._validate(first, state, frozen, meter)
      state = self._steps(first, state, frozen, key, meter, watch)
    finally:
      watch.close()
      self.profiler.close()
      meter.close()
    self._settle()
    return self.runner.to_save(state)

  def _steps(self, first: int, state, frozen, key, meter, watch):
    agreement = hosts.Agreement()
    pending = None  # the step whose sums are not looked at yet
    for step, batch in self._batches(first, meter):
      arguments = (state, frozen, self.runner.shard_batch(batch), key)
      self.profiler.before(step)
      watch.begin()
      state, sums = self.runner.step(*arguments)
      watch.end(step, arguments)
      self.profiler.after(step, sums)
      self.notice.hold()
      # Looking at the step before leaves the device one step to work on.
      self._check(pending)
      pending = (step, sums, batch)
      stop = agreement.ask(self.notice.given)
      last = step == self.stage.steps
      routers = self._routers(step, state, frozen, batch)
      if last or routers or step % self.logging.every == 0:
        self._log(step, sums, meter, routers)
      due = self._due(step)
      if last or due or stop or step % self.saving.every == 0:
        self._check(pending)
        self._save(state)
      meter.tick()
      if stop and not last:
        self.checkpoints.wait()
        raise Stopped(f"stopped after step {step} of {self.stage.name}")
      if due:
        self._validate(step, state, frozen, meter)
    return state

  def _due(self, step: int) -> bool:
    return self.validator is not None and self.validator.due(step)

  def _validated(self, step: int) -> bool:
    """Whether an earlier start finished the validation after a step."""
    return self.writer.has(self.stage.name, step, validation_lib.PREFIX)

  def _settle(self) -> None:
    """Waits for the checkpoint: from here on a notice ends the run at once."""
    self.notice.obey()
    self.checkpoints.wait()
    self.notice.release()

  def _resume(self, state: state_lib.State) -> state_lib.State:
    if self.checkpoints.latest() is None:
      return state
    state, data, _ = self.checkpoints.restore(self.runner.to_restore(state))
    if moved := self.loader.set_states(data):
      print(moved, flush=True)
    return state

  def _batches(
    self, first: int, meter: metrics_lib.Meter
  ) -> Iterator[tuple[int, array_types.Batch]]:
    for step in range(first + 1, self.stage.steps + 1):
      start = time.perf_counter()
      batch = next(self.loader)
      meter.waited(time.perf_counter() - start)
      meter.count(batch, jax.process_count())
      yield step, batch

  def _check(self, pending) -> None:
    """Stops a run whose loss or gradient is not finite, before it is saved."""
    if pending is None:
      return
    step, sums, batch = pending
    loss, norm = (
      float(np.ravel(sums[name])[0]) for name in ("loss", "gradient_norm")
    )
    if math.isfinite(loss) and math.isfinite(norm):
      return
    ids = [
      f"{self.task_names[task]}/train/{row}"
      for task, row in batch["sample_ids"].reshape(-1, 2)
      if task >= 0
    ]
    raise errors.UserError(
      f"stage {self.stage.name}, step {step}: loss {loss}, gradient norm"
      f" {norm}; the newest checkpoint is from before it; samples of the"
      f" batch: {' '.join(ids)}"
    )

  def _routers(self, step: int, state, frozen, batch) -> dict[str, Any]:
    """What the routers do, when it is time to look at them."""
    every = self.logging.router_every
    if self.monitor is None or not every or step % every:
      return {}
    return self.runner.inspect(self.monitor, state, frozen, batch)

  def _log(
    self,
    step: int,
    sums,
    meter: metrics_lib.Meter,
    routers: dict[str, Any],
  ) -> None:
    sums = {name: np.asarray(leaf) for name, leaf in sums.items()}
    norms = [name for name in sums if name.startswith("gradient_norm")]
    scalars = {
      **{name: float(np.ravel(sums[name])[0]) for name in ("loss", *norms)},
      "learning_rate": float(self.learning_rate(step - 1)),
      **meter.rates(),
      **routers,
    }
    nll, tokens = (
      sums[name].reshape(-1, len(self.task_names))[0]
      for name in ("task_nll", "task_tokens")
    )
    for name, total, count in zip(self.task_names, nll, tokens, strict=True):
      if count:
        scalars[f"loss/{name}"] = float(total / count)
    self.writer.write(self.stage.name, step, scalars)
    meter.show(scalars)

  def _validate(self, step: int, state, frozen, meter) -> None:
    """After the checkpoint: it may take minutes, and a notice gives seconds.

    A run that was stopped in it validates when it goes on. The line of the log
    comes last: it says that all is done.
    """
    start = time.perf_counter()
    self._settle()
    scalars = self.validator.losses(state.params, frozen)
    if self.validator.decodes:
      whole = state_lib.merge(
        self.runner.fetch(state.params), self.runner.fetch(frozen)
      )
      scalars |= self.validator.checked(step, whole)
    self.validator.keep(scalars, lambda: self.runner.to_save(state))
    self.writer.write(self.stage.name, step, scalars)
    meter.paused(time.perf_counter() - start)

  def _save(self, state: state_lib.State) -> None:
    if self.notice.given:
      self.notice.obey()
    self.checkpoints.save(
      self.runner.to_save(state), self.loader.get_state(), {}
    )

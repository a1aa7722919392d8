"""The training loop: of a stage, and of a run of the transfer study."""

import dataclasses
import math
import time
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Protocol
from typing import runtime_checkable

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax.training import callbacks as callbacks_lib
from crab_jax.training import recovery as recovery_lib
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import step_log
from crab_jax.training import validation


@runtime_checkable
class Loader(Protocol):
  """An endless source of this host's batches."""

  def __next__(self) -> array_types.Batch: ...


class NotFinite(errors.UserError):
  """A loss or a gradient left the finite numbers."""


class Stopped(Exception):
  """The run was asked to stop (SIGTERM) and has saved its state."""


@dataclasses.dataclass
class Loop:
  """Steps of one stage; what a loop does not want it leaves out.

  Attributes:
    stage: its name and number of steps.
    runner: runs the step.
    loader: gives the batches.
    task_names: of the datasets, by number.
    recovery: checkpoints and preemption.
    log: where losses and rates go.
    validator: None: no validation.
    callbacks: are called around every step, in this order.
    check_every: steps between two readings of the loss; the last is always
      read. A loop that saves nothing need not wait for its steps.
    remedy: ends the error of a loss that is not finite.
  """

  stage: configs.Stage
  runner: runner_lib.Runner
  loader: Loader
  task_names: tuple[str, ...]
  recovery: recovery_lib.Recovery = recovery_lib.NoRecovery()
  log: step_log.Log = step_log.NoLog()
  validator: validation.Validator | None = None
  callbacks: Sequence[callbacks_lib.Callback] = ()
  check_every: int = 1
  remedy: str = "the newest checkpoint is from before it"

  def run(
    self, state: state_lib.State, frozen: array_types.Tree, key: jax.Array
  ) -> state_lib.State:
    """Trains to the last step; goes on from the newest checkpoint.

    Args:
      state: the state before the first step, whole; where there is a checkpoint
        its shapes will do.
      frozen: leaves that do not train, sharded (`Runner.shard`): loops may
        share them.
      key: dropout key.

    Returns:
      The state after the last step, sharded.

    Raises:
      NotFinite: the loss or the gradient is.
      UserError: a checkpoint cannot be written.
      Stopped: SIGTERM came; the state is saved.
    """
    start = time.perf_counter()
    state = self.recovery.resume(state)
    # Before it is sharded: under pmap the counter has an axis of devices.
    first = int(state.step)
    state = self.runner.shard(state)
    self.log.begin(first)
    self.log.restored(first, time.perf_counter() - start)
    try:
      # A run that was stopped in a validation makes up for it.
      if first and self._due(first) and not self.log.has_validation(first):
        self._validate(first, state, frozen)
      state = self._steps(first, state, frozen, key)
    finally:
      for callback in self.callbacks:
        callback.close()
      self.log.close()
    self.recovery.settle()
    return state

  def _steps(self, first: int, state, frozen, key) -> state_lib.State:
    pending = None  # the step whose sums are not checked yet
    for step, batch in self._batches(first):
      state, sums = self._step(step, state, frozen, batch, key)
      self.recovery.step_done()
      if step % self.check_every == 0:
        # The sums of the step before: the devices have this one to work on.
        self._check(pending)
      pending = (step, sums, batch)
      stop = self.recovery.stop_requested()
      last, due = step == self.stage.steps, self._due(step)
      self.log.step_done(step, sums, state, frozen, batch)
      if last or due or stop or self.recovery.due(step):
        self._check(pending)  # no checkpoint holds what is not finite
        start = time.perf_counter()
        self.recovery.save(state)
        self.log.saved(time.perf_counter() - start)
      self.log.step_saved()
      if stop and not last:
        self.recovery.wait()
        raise Stopped(f"stopped after step {step} of {self.stage.name}")
      if due:
        # After the checkpoint: it may take minutes, a preemption gives seconds.
        self._validate(step, state, frozen)
    return state

  def _step(self, step: int, state, frozen, batch, key):
    arguments = (state, frozen, self.runner.shard_batch(batch), key)
    for callback in self.callbacks:
      callback.before_step(step)
    state, sums = self.runner.step(*arguments)
    for callback in self.callbacks:
      callback.after_step(step, arguments, sums)
    return state, sums

  def _due(self, step: int) -> bool:
    return self.validator is not None and self.validator.due(step)

  def _batches(self, first: int) -> Iterator[tuple[int, array_types.Batch]]:
    for step in range(first + 1, self.stage.steps + 1):
      start = time.perf_counter()
      batch = next(self.loader)
      self.log.batch_read(batch, time.perf_counter() - start)
      yield step, batch

  def _check(self, pending) -> None:
    """Stops a run whose loss or gradient is not finite, before it is saved."""
    if pending is None:
      return
    step, sums, batch = pending
    # Under pmap an axis of equal copies is in front.
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
    raise NotFinite(
      f"stage {self.stage.name}, step {step}: loss {loss}, gradient norm"
      f" {norm}; {self.remedy}; samples of the batch: {' '.join(ids)}"
    )

  def _validate(self, step: int, state, frozen) -> None:
    """The line of the log comes last: it says that all is done."""
    start = time.perf_counter()
    # Nothing is left to save: a preemption need not wait for a validation.
    self.recovery.settle()
    validator = self.validator
    assert validator is not None  # it said that it is due
    scalars = validator.losses(state.params, frozen)
    if validator.decodes:
      # Over several hosts `fetch` gathers: all of them call it.
      whole = state_lib.merge(
        self.runner.fetch(state.params), self.runner.fetch(frozen)
      )
      scalars |= validator.checked(step, whole)
    # By a function: under pmap the state is copied to the host, if it is best.
    validator.keep(scalars, lambda: self.runner.to_save(state))
    self.log.validated(step, scalars, start)

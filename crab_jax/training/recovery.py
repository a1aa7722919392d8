"""How a loop survives a stop: what it saves, and where it goes on.

A loop with nothing to recover, such as a short run of a study, has
`NoRecovery`.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Protocol
from typing import runtime_checkable

from crab_jax.training import checkpoint
from crab_jax.training import hosts
from crab_jax.training import preemption as preemption_lib
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib


@runtime_checkable
class Loader(Protocol):
  """A source of batches whose position can be saved (`data.loader.Loader`)."""

  def get_state(self) -> bytes: ...
  def set_states(self, states: list[bytes]) -> str | None: ...


@runtime_checkable
class Recovery(Protocol):
  """What the loop asks; every host makes the same calls in the same order."""

  def has_checkpoint(self) -> bool:
    """Whether `resume` reads one: the shapes of a state will do then."""

  def resume(self, state: state_lib.State) -> state_lib.State:
    """The state to begin with, whole: the newest checkpoint, if there is one.

    Args:
      state: before the first step, or its shapes.

    Raises:
      UserError: the checkpoint cannot be read.
    """

  def step_done(self) -> None:
    """A step has changed the state: from now on there is something to save."""

  def stop_requested(self) -> bool:
    """Whether a host must stop; all hosts ask once a step."""

  def due(self, step: int) -> bool:
    """Whether the interval of checkpoints ends with a step."""

  def save(self, state: state_lib.State) -> None:
    """Begins to save a sharded state.

    Raises:
      UserError: this or an earlier checkpoint cannot be written.
    """

  def wait(self) -> None:
    """Returns when all that was saved is on disk."""

  def settle(self) -> None:
    """Waits for what was saved; from here on a preemption stops at once."""

  def close(self) -> None: ...


class NoRecovery:
  """Saves nothing; a loop that was stopped begins again."""

  def has_checkpoint(self) -> bool:
    return False

  def resume(self, state: state_lib.State) -> state_lib.State:
    return state

  def step_done(self) -> None:
    pass

  def stop_requested(self) -> bool:
    return False

  def due(self, step: int) -> bool:
    del step
    return False

  def save(self, state: state_lib.State) -> None:
    pass

  def wait(self) -> None:
    pass

  def settle(self) -> None:
    pass

  def close(self) -> None:
    pass


class CheckpointRecovery:
  """Saves checkpoints at an interval and when the machine is taken away.

  Args:
    checkpoints: of the stage.
    every: steps between two checkpoints.
    runner: of the stage.
    loader: its position is saved beside the state.
    preemption: SIGTERM.
    note: JSON values that are saved beside the state too.
    restored: what a state that was read becomes before it is used.
  """

  def __init__(
    self,
    checkpoints: checkpoint.StageCheckpoints,
    every: int,
    runner: runner_lib.Runner,
    loader: Loader,
    preemption: preemption_lib.Handler,
    note: Mapping[str, Any] | None = None,
    restored: Callable[[state_lib.State], state_lib.State] | None = None,
  ):
    self._checkpoints, self._every = checkpoints, every
    self._runner, self._loader = runner, loader
    self._preemption, self._note = preemption, dict(note or {})
    self._restored = restored or (lambda state: state)
    self._agreement = hosts.Agreement()

  def has_checkpoint(self) -> bool:
    return self._checkpoints.latest() is not None

  def resume(self, state: state_lib.State) -> state_lib.State:
    if not self.has_checkpoint():
      return state
    state, positions, _ = self._checkpoints.restore(
      self._runner.to_restore(state)
    )
    if moved := self._loader.set_states(positions):
      print(moved, flush=True)
    return self._restored(state)

  def step_done(self) -> None:
    self._preemption.hold()

  def stop_requested(self) -> bool:
    # Not of this host alone: a sharded state is saved by all hosts together.
    return self._agreement.ask(self._preemption.requested)

  def due(self, step: int) -> bool:
    return step % self._every == 0

  def save(self, state: state_lib.State) -> None:
    if self._preemption.requested:
      # Saving has begun in time: it is waited for, however long it takes.
      self._preemption.saving()
    self._checkpoints.save(
      self._runner.to_save(state), self._loader.get_state(), self._note
    )

  def wait(self) -> None:
    self._checkpoints.wait()

  def settle(self) -> None:
    # In this order: a SIGTERM while the checkpoint is written must wait for it,
    # and one that came before must stop the process once it is there.
    self._preemption.saving()
    self._checkpoints.wait()
    self._preemption.release()

  def close(self) -> None:
    self._checkpoints.close()

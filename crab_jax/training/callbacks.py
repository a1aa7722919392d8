"""Callbacks of a loop: traces, compilations, the last losses of a run."""

from typing import Any
from typing import Protocol
from typing import runtime_checkable

from crab_jax.training import step as step_lib


@runtime_checkable
class Callback(Protocol):
  """Is called around every step; changes nothing of it."""

  def before_step(self, step: int) -> None:
    """Just before a step; `step` is its number, from 1."""

  def after_step(
    self, step: int, arguments: Any, sums: step_lib.Metrics
  ) -> None:
    """Just after a step was dispatched: the devices may still be at work.

    Args:
      step: its number.
      arguments: what `Runner.step` was called with. The state among them is
        donated: of its arrays only shapes may be read.
      sums: what the step gave; reading a value waits for the devices.
    """

  def close(self) -> None:
    """After the last step, or after one that failed."""

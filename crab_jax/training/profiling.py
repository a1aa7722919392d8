"""A trace of a few steps, for xprof (`tensorboard --logdir`, plugin xprof)."""

import contextlib
import dataclasses
import re
from typing import Any

import jax

from crab_jax import errors
from crab_jax import files


@dataclasses.dataclass(frozen=True)
class Window:
  """Steps of a stage, both included."""

  first: int
  last: int


def parse(text: str) -> Window:
  """ "10:15" -> steps 10 to 15.

  Raises:
    UserError: it does not read so.
  """
  match = re.fullmatch(r"(\d+):(\d+)", text)
  if match is None or not 1 <= int(match[1]) <= int(match[2]):
    raise errors.UserError(
      f"--profile_steps={text} must read FIRST:LAST with 1 <= FIRST <= LAST,"
      " e.g. 10:15"
    )
  return Window(int(match[1]), int(match[2]))


class Profiler:
  """A callback that traces the steps of a window; None: of no step."""

  def __init__(self, window: Window | None, folder: files.Path):
    self._window = window
    self._folder = self._local = folder
    self._ending = contextlib.ExitStack()  # of what begins with a trace
    self._on = False

  def before_step(self, step: int) -> None:
    """Just before a step."""
    wanted = self._window is not None and (
      self._window.first <= step <= self._window.last
    )
    if wanted and not self._on:
      if files.is_remote(self._folder):  # it writes to disks only
        self._local = self._ending.enter_context(files.uploaded(self._folder))
      jax.profiler.start_trace(self._local)
      self._on = True

  def after_step(self, step: int, arguments: Any, sums: Any) -> None:
    """Just after a step."""
    del arguments
    if self._on and self._window and step >= self._window.last:
      jax.block_until_ready(sums)  # or the trace would lack the step's end
      self.close()

  def close(self) -> None:
    """Ends a trace that the loop did not come to end."""
    if self._on:
      jax.profiler.stop_trace()
      self._ending.close()
      self._on = False
      print(f"trace: {self._folder}", flush=True)

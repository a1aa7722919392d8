"""Rotary position ids of a prompt: time-aligned, three axes (TMRoPE).

Every token has a position on three axes: time, row, column. Text and audio
count up on all three together; a video spreads its tokens over rows and
columns and steps in time by the seconds that a frame pair lasts; an image is
a video of one pair. One cursor runs through the prompt and leaves a video
behind the highest position that it used.

Audio interleaved with the video of the same clip is not computed here: Crab+
does not use it.

Reference: Qwen2.5-Omni, arXiv 2503.20215, section 2.2.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from crab_jax.array_types import Int

PER_SECOND = 25.0  # positions on the time axis, as released models count


@dataclasses.dataclass(frozen=True)
class Run:
  """A maximal piece of a prompt through which the cursor goes in one rule."""

  tokens: int
  # Frame pairs, rows, columns of merged tokens; None: text or audio.
  grid: tuple[int, int, int] | None = None


def position_ids(
  runs: Sequence[Run],
  seconds_per_pair: float = 2.0,
  positions_per_second: int | float = PER_SECOND,
) -> Int[np.ndarray, "T 3"]:
  """Positions of the tokens of one sample.

  Args:
    runs: the pieces of the sample, left to right.
    seconds_per_pair: seconds from one frame pair of a video to the next.
    positions_per_second: positions on the time axis a second of video.

  Returns:
    int32[T, 3]: time, row and column position of every token.
  """
  cursor = 0
  pieces = [np.zeros((0, 3), np.int32)]
  for run in runs:
    if run.grid is None:
      line = np.arange(run.tokens, dtype=np.int32)
      piece = np.stack([line] * 3, axis=1)
    else:
      piece = _grid_positions(run.grid, seconds_per_pair, positions_per_second)
    if len(piece) != run.tokens:
      raise ValueError(f"A run of {run.tokens} tokens has the grid {run.grid}")
    pieces.append(piece + np.int32(cursor))
    if len(piece):
      cursor += int(piece.max()) + 1
  return np.concatenate(pieces)


def _grid_positions(
  grid: tuple[int, int, int], seconds: float, per_second: int | float
) -> Int[np.ndarray, "T 3"]:
  """Positions inside a video that starts at zero: time, row, column order."""
  # float32 and this order of products, as in the reference: a fraction that
  # rounds the other way would move a whole pair by one position.
  times = np.arange(grid[0], dtype=np.float32) * np.float32(seconds)
  times = np.floor(times * np.float32(per_second)).astype(np.int32)
  pairs, rows, columns = np.indices(grid, dtype=np.int32).reshape(3, -1)
  return np.stack([times[pairs], rows, columns], axis=1)


def clip_seconds_per_unit(
  frame_seconds: Sequence[float], unit_frames: int
) -> float | None:
  """Seconds from one vision unit to the next by the clip's own clock.

  Args:
    frame_seconds: time of each frame in its own clip, seconds. Two clips one
      after the other start anew: their steps are the positive differences.
    unit_frames: frames of a unit.

  Returns:
    The median step of a frame times `unit_frames`; None if there are fewer than
    two frames.
  """
  steps = np.diff(np.asarray(frame_seconds, np.float64))
  steps = steps[steps > 0]
  return unit_frames * float(np.median(steps)) if len(steps) else None

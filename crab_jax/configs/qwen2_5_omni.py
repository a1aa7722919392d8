"""The encoders of Qwen2.5-Omni: sizes, and the units that they work on."""

import dataclasses
from typing import Any

from crab_jax.configs import checked
from crab_jax.configs import units


@dataclasses.dataclass(frozen=True)
class AudioTower(units.AudioUnits):
  """The audio encoder: a Whisper-like encoder, chunked. A unit is a chunk."""

  bins: int = 128  # log-mel filters
  layers: int = 32
  width: int = 1280
  heads: int = 20  # divides width
  mlp: int = 5120
  unit_frames: int = 200  # mel frames a chunk (2 s); attention stays inside
  pool: int = 2  # encoder positions averaged into one token

  def check(self):
    checked.require_positive(
      self, "bins", "layers", "width", "heads", "mlp", "unit_frames", "pool"
    )
    checked.require(
      self.width % self.heads == 0 and self.width % 2 == 0,
      f"AudioTower.width={self.width} must be even and a multiple of"
      f" AudioTower.heads={self.heads}",
    )
    checked.require(
      self.unit_frames % (2 * self.pool) == 0,
      f"AudioTower.unit_frames={self.unit_frames} must be a multiple of"
      f" 2 * AudioTower.pool={2 * self.pool}",
    )

  @property
  def unit_positions(self) -> int:
    """Encoder positions of a full chunk (the second convolution halves)."""
    return self.unit_frames // 2

  @property
  def unit_tokens(self) -> int:
    """Audio tokens of a full chunk."""
    return self.unit_positions // self.pool

  @property
  def frame_rate(self) -> float:
    """Mel frames a second: a hop of 160 samples."""
    return 100.0

  def positions_of(self, lengths: Any) -> Any:
    """Encoder positions of so many mel frames: (l - 1) // 2 + 1, 0 for 0."""
    return (lengths - 1) // 2 + 1

  def tokens_of(self, lengths: Any) -> Any:
    """Audio tokens of so many mel frames: an incomplete one is left out."""
    return self.positions_of(lengths) // self.pool

  def mel_frames(self, samples: int) -> int:
    """Mel frames of a clip of so many samples."""
    return -(-min(samples, units.HEARD_SAMPLES) // 160)

  def unit_lengths(self, samples: int, pieces: int = 1) -> list[int]:
    """Mel frames of each chunk of a clip, whatever pieces it is made of.

    A last chunk too short for one token is left out: nothing would read it.
    """
    whole, rest = divmod(self.mel_frames(samples), self.unit_frames)
    lengths = [self.unit_frames] * whole + [rest]
    return [length for length in lengths if self.tokens_of(length) > 0]


@dataclasses.dataclass(frozen=True)
class VisionTower(units.VisionUnits):
  """The vision encoder: windowed attention, a few full blocks.

  A unit is a frame pair.
  """

  frame_size: int = 224  # pixels, square; a multiple of patch * merge
  layers: int = 32
  width: int = 1280
  heads: int = 16  # divides width; the head size is a multiple of 4
  mlp: int = 3420
  patch: int = 14  # pixels
  unit_frames: int = 2  # frames in a patch: a "frame pair"
  merge: int = 2  # merge x merge patches become one token
  window: int = 112  # pixels; a multiple of patch * merge
  full_blocks: tuple[int, ...] = (7, 15, 23, 31)  # attend to the whole frame

  def check(self):
    checked.require_positive(
      self,
      "frame_size",
      "layers",
      "width",
      "heads",
      "mlp",
      "patch",
      "unit_frames",
      "merge",
      "window",
    )
    token = self.patch * self.merge
    for name in ("frame_size", "window"):
      checked.require(
        getattr(self, name) % token == 0,
        f"VisionTower.{name}={getattr(self, name)} must be a multiple of"
        f" patch * merge = {token} pixels",
      )
    checked.require(
      self.frame_size % self.window == 0,
      f"VisionTower.frame_size={self.frame_size} must be a multiple of"
      f" VisionTower.window={self.window}",
    )
    checked.require(
      self.width % (4 * self.heads) == 0,
      f"VisionTower.width={self.width} must be a multiple of"
      f" 4 * VisionTower.heads={4 * self.heads} (two rotary axes)",
    )
    checked.require(
      all(0 <= block < self.layers for block in self.full_blocks),
      f"VisionTower.full_blocks={self.full_blocks} must lie in"
      f" 0..{self.layers - 1}",
    )

  @property
  def grid(self) -> int:
    """Patches along one side of a frame."""
    return self.frame_size // self.patch

  @property
  def unit_positions(self) -> int:
    """Patches of one frame pair."""
    return self.grid**2

  @property
  def unit_tokens(self) -> int:
    """Vision tokens of one frame pair."""
    rows, columns = self.token_grid
    return rows * columns

  @property
  def token_grid(self) -> tuple[int, int]:
    """Rows and columns of the merged tokens of one frame pair."""
    return (self.grid // self.merge,) * 2

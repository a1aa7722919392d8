"""The network: two towers, the language model, and what they compute in."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import ilora


@dataclasses.dataclass(frozen=True)
class AudioTower(checked.Checked):
  """The audio encoder (Qwen2.5-Omni: a Whisper-like encoder, chunked)."""

  mel_bins: int = 128  # log-mel filters
  layers: int = 32
  width: int = 1280
  heads: int = 20  # divides width
  mlp: int = 5120
  chunk_frames: int = 200  # mel frames a chunk (2 s); attention stays inside
  pool: int = 2  # encoder positions averaged into one token

  def check(self):
    checked.require(
      self.width % self.heads == 0 and self.width % 2 == 0,
      f"AudioTower.width={self.width} must be even and a multiple of"
      f" AudioTower.heads={self.heads}",
    )
    checked.require(
      self.chunk_frames % (2 * self.pool) == 0,
      f"AudioTower.chunk_frames={self.chunk_frames} must be a multiple of"
      f" 2 * AudioTower.pool={2 * self.pool}",
    )

  @property
  def chunk_positions(self) -> int:
    """Encoder positions of a full chunk (the second convolution halves)."""
    return self.chunk_frames // 2

  @property
  def chunk_tokens(self) -> int:
    """Audio tokens of a full chunk."""
    return self.chunk_positions // self.pool


@dataclasses.dataclass(frozen=True)
class VisionTower(checked.Checked):
  """The vision encoder: windowed attention with a few full blocks."""

  frame_size: int = 224  # pixels, square; a multiple of patch * merge
  layers: int = 32
  width: int = 1280
  heads: int = 16  # divides width; the head size is a multiple of 4
  mlp: int = 3420
  patch: int = 14  # pixels
  temporal_patch: int = 2  # frames in a patch: a "frame pair"
  merge: int = 2  # merge x merge patches become one token
  window: int = 112  # pixels; a multiple of patch * merge
  full_blocks: tuple[int, ...] = (7, 15, 23, 31)  # attend to the whole frame

  def check(self):
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
  def pair_patches(self) -> int:
    """Patches of one frame pair."""
    return self.grid**2

  @property
  def pair_tokens(self) -> int:
    """Vision tokens of one frame pair."""
    return (self.grid // self.merge) ** 2


@dataclasses.dataclass(frozen=True)
class Decoder(checked.Checked):
  """The language model (Qwen2.5 with multimodal rotary positions)."""

  layers: int = 28
  width: int = 3584
  heads: int = 28  # query heads
  kv_heads: int = 4  # divides heads
  head_size: int = 128
  mlp: int = 18944
  vocabulary: int = 152064  # rows of the embedding table
  rope_theta: float = 1e6
  rope_sections: tuple[int, int, int] = (16, 24, 24)  # t, h, w; sum head/2
  context: int = 32768  # tokens that a sequence can have, > 0

  def check(self):
    checked.require(
      self.context > 0, f"Decoder.context={self.context} must be positive"
    )
    checked.require(
      self.heads % self.kv_heads == 0,
      f"Decoder.heads={self.heads} must be a multiple of"
      f" Decoder.kv_heads={self.kv_heads}",
    )
    checked.require(
      2 * sum(self.rope_sections) == self.head_size,
      f"Decoder.rope_sections={self.rope_sections} must sum to half of"
      f" Decoder.head_size={self.head_size}",
    )


@dataclasses.dataclass(frozen=True)
class Model(checked.Checked):
  """The thinker: towers, projectors and decoder, with or without adapter."""

  audio: AudioTower = AudioTower()
  vision: VisionTower = VisionTower()
  decoder: Decoder = Decoder()
  adapter: ilora.ILora | None = None
  compute_dtype: str = "bfloat16"  # "float32": laptops and parity tests
  param_dtype: str = "bfloat16"  # of the base weights; adapters are float32
  # "int8": kernels of a frozen base are stored so, with a scale a column.
  frozen_dtype: str | None = None
  remat: str = "full"  # "none", "full", "projections": models/scanning.py
  tower_remat: str | None = None  # the same of the towers; None: as remat
  attention: str = "xla"  # of the decoder; "splash": a kernel of TPUs
  logit_chunk: int = 1024  # supervised positions a chunk, on all devices

  def check(self):
    for name in ("compute_dtype", "param_dtype"):
      checked.require(
        getattr(self, name) in ("bfloat16", "float32"),
        f'Model.{name}={getattr(self, name)!r} must be "bfloat16" or "float32"',
      )
    checked.require(
      self.frozen_dtype in (None, "int8"),
      f'Model.frozen_dtype={self.frozen_dtype!r} must be None or "int8"',
    )
    checked.require(
      self.attention == "xla"
      or (self.attention == "splash" and self.decoder.head_size % 128 == 0),
      f'Model.attention={self.attention!r} must be "xla", or "splash" where'
      f" Decoder.head_size={self.decoder.head_size} is a multiple of 128",
    )
    for name in ("remat", "tower_remat"):
      checked.require(
        getattr(self, name) in (None, "none", "full", "projections")
        and self.remat is not None,
        f"Model.{name}={getattr(self, name)!r} must be none, full or"
        " projections",
      )

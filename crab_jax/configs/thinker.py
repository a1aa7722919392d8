"""The network: encoders, the language model, and what they compute in."""

import dataclasses
from typing import Any

from crab_jax.configs import checked
from crab_jax.configs import ilora
from crab_jax.configs import qwen2_5_omni
from crab_jax.configs import units


@dataclasses.dataclass(frozen=True)
class Decoder(checked.Checked):
  """The language model: Qwen2.5 with multimodal rotary positions, or LLaMA.

  LLaMA is `qkv_bias=False` with a `norm_epsilon` of its own and, for positions
  of one axis, `rope_sections=(head_size // 2, 0, 0)`.
  """

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
  norm_epsilon: float = 1e-6  # of the RMS norms, > 0
  qkv_bias: bool = True  # whether q_proj, k_proj and v_proj have a bias
  # Tokens that a family adds to the language model, with embeddings of their
  # own in place of the table's, which may be shorter: the first id, and how many.
  boundary: tuple[int, int] = (0, 0)

  def check(self):
    checked.require_positive(
      self,
      "layers",
      "width",
      "heads",
      "kv_heads",
      "head_size",
      "mlp",
      "vocabulary",
      "rope_theta",
      "context",
      "norm_epsilon",
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
    checked.require(
      min(self.boundary) >= 0 and self.boundary[0] <= self.vocabulary,
      f"Decoder.boundary={self.boundary} must begin in"
      f" 0..Decoder.vocabulary={self.vocabulary}",
    )

  @property
  def ids(self) -> int:
    """One more than the largest id that has an embedding."""
    return max(self.vocabulary, sum(self.boundary))

  def named(self) -> dict[str, Any]:
    # Checkpoints that are older than the field note none.
    found = super().named()
    if not self.boundary[1]:
      del found["Decoder.boundary"]
    return found


@dataclasses.dataclass(frozen=True)
class Model(checked.Checked):
  """The thinker: encoders, projectors and decoder, with or without adapter.

  The class of `vision` names the AV-LLM family: `paradigms.front` and
  `paradigms.network` say what belongs to it.
  """

  audio: units.AudioUnits = qwen2_5_omni.AudioTower()
  vision: units.VisionUnits = qwen2_5_omni.VisionTower()
  decoder: Decoder = Decoder()
  adapter: ilora.ILora | None = None
  compute_dtype: str = "bfloat16"  # "float32": laptops and parity tests
  param_dtype: str = "bfloat16"  # of the base weights; adapters are float32
  # "int8": kernels of a frozen base are stored so, with a scale a column.
  frozen_dtype: str | None = None
  remat: str = "full"  # "none", "full", "projections": models/scanning.py
  tower_remat: str | None = None  # the same of the towers; None: as remat
  # Of the decoder; "splash": a kernel of TPUs, "cudnn": one of GPUs.
  attention: str = "xla"
  logit_chunk: int = 1024  # supervised positions a chunk, on all devices
  # Rope positions a second of video that the base was made with, > 0; None:
  # one an audio token, as released models count.
  positions_per_second: float | None = None

  @property
  def position_rate(self) -> float:
    """Rope positions a second of video."""
    if self.positions_per_second is None:
      return self.audio.token_rate
    return self.positions_per_second

  @property
  def required_adapter(self) -> ilora.ILora:
    """The adapter, for code that needs one.

    Raises:
      ValueError: there is none.
    """
    if self.adapter is None:
      raise ValueError("Model.adapter is not set")
    return self.adapter

  @property
  def tower_adapter(self) -> ilora.ILora | None:
    """The adapter of the towers: None where only the decoder is adapted."""
    return self.adapter if self.adapter and self.adapter.in_towers else None

  @property
  def routes(self) -> bool:
    """Whether there is an adapter that weighs its heads by the token."""
    return self.adapter is not None and self.adapter.routes

  @property
  def network(self) -> dict[str, Any]:
    """ "Class.field" -> JSON value of what decides the answer to a prompt.

    Beside the parameters: not dtypes, and not where or when is computed.
    """
    found = {
      "Model.positions_per_second": self.positions_per_second,
      **self.vision.named(),
      **self.audio.named(),
      **self.decoder.named(),
    }
    return found if self.adapter is None else found | self.adapter.network

  @property
  def drops(self) -> bool:
    """Whether training draws dropout, of the adapter or inside a projector."""
    adapter = self.adapter is not None and self.adapter.dropout > 0
    return adapter or self.vision.drops or self.audio.drops

  @property
  def reads_tasks(self) -> bool:
    """Whether the forward pass needs the tasks of the tokens."""
    return self.adapter is not None and self.adapter.reads_tasks

  def check(self):
    for name in ("compute_dtype", "param_dtype"):
      checked.require(
        getattr(self, name) in ("bfloat16", "float32"),
        f'Model.{name}={getattr(self, name)!r} must be "bfloat16" or "float32"',
      )
    checked.require(
      self.positions_per_second is None or self.positions_per_second > 0,
      f"Model.positions_per_second={self.positions_per_second} must be positive",
    )
    checked.require(
      self.frozen_dtype in (None, "int8"),
      f'Model.frozen_dtype={self.frozen_dtype!r} must be None or "int8"',
    )
    size = self.decoder.head_size
    # What jax's call of cuDNN takes.
    by_cudnn = (
      size % 8 == 0 and size <= 128 and self.compute_dtype == "bfloat16"
    )
    checked.require(
      self.attention == "xla"
      or (self.attention == "splash" and size % 128 == 0)
      or (self.attention == "cudnn" and by_cudnn),
      f'Model.attention={self.attention!r} must be "xla", or "splash" where'
      f' Decoder.head_size={size} is a multiple of 128, or "cudnn" where it is one'
      f' of 8 up to 128 and Model.compute_dtype={self.compute_dtype!r} "bfloat16"',
    )
    for name in ("remat", "tower_remat"):
      checked.require(
        getattr(self, name) in (None, "none", "full", "projections")
        and self.remat is not None,
        f"Model.{name}={getattr(self, name)!r} must be none, full or"
        " projections",
      )

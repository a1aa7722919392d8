"""The sizes of the models: the released ones, and a tiny one of each family."""

from typing import Any

from crab_jax.configs import encoder_projector
from crab_jax.configs import qwen2_5_omni
from crab_jax.configs import thinker


def qwen2_5_omni_7b(**changes) -> thinker.Model:
  """The thinker of Qwen2.5-Omni-7B: 8,931,806,720 parameters.

  The released file has 7,168 more: an embedding that nothing reads.
  """
  return thinker.Model(**changes)


def qwen2_5_omni_3b(**changes) -> thinker.Model:
  """The thinker of Qwen2.5-Omni-3B: 4,703,460,352 parameters.

  The released file has 4,096 more: an embedding that nothing reads.
  """
  decoder = thinker.Decoder(
    layers=36,
    width=2048,
    heads=16,
    kv_heads=2,
    mlp=11008,
    vocabulary=151936,
  )
  return thinker.Model(decoder=decoder, **changes)


def tiny(**changes) -> thinker.Model:
  """A thinker that two CPU cores can train: the same code at a small size."""
  fields = {
    "audio": qwen2_5_omni.AudioTower(
      bins=64, layers=1, width=64, heads=2, mlp=128, pool=20
    ),
    "vision": qwen2_5_omni.VisionTower(
      frame_size=112,
      layers=2,
      width=64,
      heads=2,
      mlp=192,
      patch=28,
      full_blocks=(1,),
    ),
    "decoder": thinker.Decoder(
      layers=4,
      width=128,
      heads=4,
      kv_heads=2,
      head_size=32,
      mlp=384,
      vocabulary=2048,
      rope_sections=(4, 6, 6),
    ),
    "compute_dtype": "float32",
    "param_dtype": "float32",
    "remat": "none",
  }
  return thinker.Model(**{**fields, **changes})


def clip_beats_llama2_7b(**changes) -> thinker.Model:
  """CLIP, BEATs, a Q-Former each and LLaMA-2-7B: 7,197,890,032 parameters.

  The published code has 69,760 more: columns of the vocabulary projection for
  the 17 added tokens, which no answer contains, and the scales of a weight norm,
  which are multiplied out here.
  """
  decoder = thinker.Decoder(
    layers=32,
    width=4096,
    heads=32,
    kv_heads=32,
    mlp=11008,
    vocabulary=32000,
    rope_theta=1e4,
    rope_sections=(64, 0, 0),
    context=4096,
    norm_epsilon=1e-5,
    qkv_bias=False,
    boundary=(32000, 17),
  )
  return _clip_beats(decoder, changes)


def clip_beats_qwen2_7b(**changes) -> thinker.Model:
  """The same encoders and Qwen2-7B: 8,066,429,424 parameters."""
  decoder = thinker.Decoder(rope_sections=(64, 0, 0), boundary=(151646, 17))
  return _clip_beats(decoder, changes)


def _clip_beats(decoder: thinker.Decoder, changes: dict) -> thinker.Model:
  parts = {
    "audio": encoder_projector.BeatsAudio(),
    "vision": encoder_projector.ClipVision(),
    "decoder": decoder,
  }
  return thinker.Model(**{**parts, **changes})


def tiny_clip_beats(**changes) -> thinker.Model:
  """The second family at the size of `tiny`."""
  queries: dict[str, Any] = {
    "query_layers": 1,
    "query_width": 64,
    "query_heads": 2,
    "query_mlp": 128,
    "query_dropout": 0.0,
  }
  fields = {
    "audio": encoder_projector.BeatsAudio(
      bins=64,
      layers=2,
      width=64,
      heads=2,
      mlp=128,
      embed=64,
      conv_taps=16,
      conv_groups=4,
      unit_frames=96,
      queries=2,
      **queries,
    ),
    "vision": encoder_projector.ClipVision(
      frame_size=112,
      patch=28,
      layers=2,
      width=64,
      heads=2,
      mlp=192,
      queries=4,
      **queries,
    ),
    "decoder": thinker.Decoder(
      layers=4,
      width=128,
      heads=4,
      kv_heads=2,
      head_size=32,
      mlp=384,
      vocabulary=2048,
      rope_theta=1e4,
      rope_sections=(16, 0, 0),
      context=4096,
      norm_epsilon=1e-5,
      qkv_bias=False,
      boundary=(3, 17),
    ),
  }
  return tiny(**{**fields, **changes})

"""The three sizes of the thinker: the released 7B and 3B, and a tiny one."""

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

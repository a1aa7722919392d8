"""cuDNN attention: the decoder's attention as one kernel of an NVIDIA GPU.

What `attention.attend` computes for causal rows of segments; scores and weights
never leave the kernel. jax's call of it takes segments as a mask [B, 1, T, T], which
is read from the device's memory: packed rows have no form that the kernel knows. It
exists where jax runs on a GPU: elsewhere `attend` is that of XLA.

Reference: FlashAttention, arXiv 2205.14135; `jax.nn.dot_product_attention`.
"""

from typing import Literal

import jax

from crab_jax import array_types as at
from crab_jax.models import attention
from crab_jax.models import axes

_HEADS = ("batch", "length", "act_heads", None)
_KV_HEADS = ("batch", "length", "act_kv_heads", None)
_ROWS = ("batch", "length")


def attend(
  q: at.Float[at.Array, "B T N H"],
  k: at.Float[at.Array, "B T K H"],
  v: at.Float[at.Array, "B T K H"],
  segments: at.Int[at.Array, "B T"],
) -> at.Float[at.Array, "B T N H"]:
  """`attention.attend`, causal and inside segments.

  Args:
    q: queries, float16 or bfloat16 on a GPU.
    k: keys.
    v: values.
    segments: 0 is padding.
  """
  # jax asks for the GPU while it traces, so that `platform_dependent` will not do.
  if jax.default_backend() != "gpu":
    return attention.attend(
      q, k, v, query_segments=segments, key_segments=segments, causal=True
    )
  by_kernel = axes.by_device(
    kernel, (_HEADS, _KV_HEADS, _KV_HEADS, _ROWS), _HEADS
  )
  return by_kernel(q, k, v, segments)


def kernel(
  q: at.Float[at.Array, "B T N H"],
  k: at.Float[at.Array, "B T K H"],
  v: at.Float[at.Array, "B T K H"],
  segments: at.Int[at.Array, "B T"],
  *,
  implementation: Literal["cudnn", "xla"] = "cudnn",
) -> at.Float[at.Array, "B T N H"]:
  """jax's call on one device; `implementation="xla"` runs it without a GPU."""
  length = q.shape[1]
  shape = (length, length)
  mask = attention.mask_of(segments, segments, causal=False, shape=shape)
  assert mask is not None  # as there are segments
  return jax.nn.dot_product_attention(
    q, k, v, mask=mask[:, None], is_causal=True, implementation=implementation
  )

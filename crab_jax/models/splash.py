"""Splash attention: the decoder's attention as one TPU kernel.

What `attention.attend` computes for causal rows of segments, block by block in
the chip's own memory: scores and weights, which XLA writes to HBM and reads
back, never leave it. The kernel is jax's (Pallas); blocks that causality hides
are skipped. It exists on TPUs alone: elsewhere, and for rows whose length is
no multiple of 128, `attend` is that of XLA.

Reference: FlashAttention, arXiv 2205.14135; the kernel is
`jax.experimental.pallas.ops.tpu.splash_attention`.
"""

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention

from crab_jax import array_types as at
from crab_jax.models import attention
from crab_jax.models import axes

LANES = 128  # head sizes and lengths are multiples of it
# The name of the outputs and row sums that the backward pass reads, for
# rematerialisation policies.
RESIDUALS = "attention"
_BLOCKS = (1024, 512, 256, 128)
_HEADS = ("batch", "length", "act_heads", None)
_KV_HEADS = ("batch", "length", "act_kv_heads", None)
_ROWS = ("batch", "length")


def block(length: int) -> int:
  """Queries, and keys, of a block: the largest that divides `length`."""
  return next(size for size in _BLOCKS if length % size == 0)


def attend(
  q: at.Float[at.Array, "B T N H"],
  k: at.Float[at.Array, "B T K H"],
  v: at.Float[at.Array, "B T K H"],
  segments: at.Int[at.Array, "B T"],
) -> at.Float[at.Array, "B T N H"]:
  """`attention.attend`, causal and inside segments."""

  def by_xla(q, k, v, segments):
    return attention.attend(
      q, k, v, query_segments=segments, key_segments=segments, causal=True
    )

  if q.shape[1] % LANES:
    return by_xla(q, k, v, segments)
  # The partitioner cannot split a Pallas kernel: each device runs it on its part.
  by_kernel = axes.by_device(
    kernel, (_HEADS, _KV_HEADS, _KV_HEADS, _ROWS), _HEADS
  )
  # Not by `jax.default_backend()`: a host without TPUs compiles for TPUs too.
  return jax.lax.platform_dependent(
    q, k, v, segments, tpu=by_kernel, default=by_xla
  )


def kernel(
  q: at.Float[at.Array, "B T N H"],
  k: at.Float[at.Array, "B T K H"],
  v: at.Float[at.Array, "B T K H"],
  segments: at.Int[at.Array, "B T"],
  *,
  interpret: bool = False,
) -> at.Float[at.Array, "B T N H"]:
  """The kernel on one device; `interpret` runs it where there is no TPU."""
  length, heads, size = q.shape[1:]
  # jax's kernel does not scale the scores.
  q = q * jnp.asarray(size**-0.5, q.dtype)
  one = _made(length, heads, interpret)

  def row(q, k, v, segments):
    # The kernel takes one row, [T, N, H] as [N, T, H].
    heads_first = (x.swapaxes(0, 1) for x in (q, k, v))
    ids = splash_attention.SegmentIds(segments, segments)
    return one(*heads_first, segment_ids=ids).swapaxes(0, 1)

  return jax.vmap(row)(q, k, v, segments).astype(q.dtype)


def _made(length: int, heads: int, interpret: bool):
  """jax's kernel for [N, T, H] and [K, T, H]."""
  side = block(length)
  sizes = splash_attention.BlockSizes(
    block_q=side,
    block_kv=side,
    block_q_dkv=side,
    block_kv_dkv=side,
    # dq, dk and dv in one kernel, which refuses block sizes of a dq kernel.
    use_fused_bwd_kernel=True,
  )
  mask = splash_attention.CausalMask((length, length))
  return splash_attention.make_splash_mha(
    splash_attention.MultiHeadMask([mask] * heads),
    block_sizes=sizes,
    # `by_device` has split heads and rows: the kernel sees one device's part.
    head_shards=1,
    q_seq_shards=1,
    residual_checkpoint_name=RESIDUALS,
    interpret=interpret,
  )

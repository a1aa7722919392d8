"""Attention: the one function through which all towers attend.

Float32 softmax, grouped key-value heads, segments, causality. This is the
XLA form; a kernel (splash attention on TPU) replaces `attend` and nothing
else. Three things make it three times as fast on CPU as the obvious einsums:
every product has its operands in the order [batch.., rows, columns] (XLA's
strided products are slow), the backward pass is written out, and causal
attention goes block by block of queries and leaves out the keys that no query
of a block may see.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from crab_jax import array_types as at
from crab_jax.models import products

# Finite, so that a query that may see nothing gets an average and not NaN.
MASKED = -1e30


def mask_of(
  query_segments: at.Int[at.Array, "*B T"] | None,
  key_segments: at.Int[at.Array, "*B S"] | None,
  causal: bool,
  shape: tuple[int, int],
  offset: int = 0,
) -> at.Bool[at.Array, "*C T S"] | None:
  """True where a query may see a key; None: everywhere.

  A query sees the keys of its own segment; causal: none to its right, where
  query 0 stands at key `offset`. Segment 0 (padding) sees itself.
  """
  mask = None
  if query_segments is not None and key_segments is not None:
    mask = query_segments[..., :, None] == key_segments[..., None, :]
  if causal:
    row = jnp.arange(shape[0])[:, None] + offset
    past = row >= jnp.arange(shape[1])[None]
    mask = past if mask is None else mask & _lead(past, mask.ndim)
  return mask


def attend(
  q: at.Float[at.Array, "*B T N H"],
  k: at.Float[at.Array, "*B S K H"],
  v: at.Float[at.Array, "*B S K H"],
  *,
  query_segments: at.Int[at.Array, "*B T"] | None = None,
  key_segments: at.Int[at.Array, "*B S"] | None = None,
  causal: bool = False,
) -> at.Float[at.Array, "*B T N H"]:
  """softmax(q k / sqrt(H)) v; query heads n*G..n*G+G-1 read kv head n.

  Args:
    q: queries, N = K * G heads.
    k: keys.
    v: values.
    query_segments: the segment of every query; None: no segments.
    key_segments: the segment of every key; None exactly where those of the
      queries are.
    causal: query t sees keys 0..t (T = S).
  """
  *batch, length, heads, size = q.shape
  kv_heads = k.shape[-2]
  # [.., T, N, H] -> [.., T, K, G, H]
  q = q.reshape(*batch, length, kv_heads, heads // kv_heads, size)
  # Causal attention leaves out the keys that no query of a block may see.
  count = query_blocks(length) if causal else 1
  width = length // count
  outputs = []
  for start in range(0, length, width):
    rows = slice(start, start + width)
    keys = slice(0, start + width) if causal else slice(None)
    own_queries = own_keys = None
    if query_segments is not None and key_segments is not None:
      own_queries = query_segments[..., rows]
      own_keys = key_segments[..., keys]
    part = k[..., keys, :, :]  # [.., S, K, H]
    shape = (width, part.shape[-3])
    mask = mask_of(own_queries, own_keys, causal, shape, start)
    if mask is not None:
      mask = _lead(mask, len(batch) + 2)  # [.., T, S]
    outputs.append(
      softmax_attention(q[..., rows, :, :, :], part, v[..., keys, :, :], mask)
    )
  # Blocks of [.., T, K, G, H], joined over T.
  out = outputs[0] if count == 1 else jnp.concatenate(outputs, axis=-4)
  return out.reshape(*batch, length, heads, size)


def query_blocks(length: int) -> int:
  """Blocks of at least 128 queries, 8 at most, that divide `length`."""
  return next(n for n in range(8, 0, -1) if n == 1 or _fits(length, n))


def _fits(length: int, count: int) -> bool:
  return length % count == 0 and length // count >= 128


# Written out, the backward pass is faster on CPU than what jax derives.
@jax.custom_vjp
def softmax_attention(
  q: at.Float[at.Array, "*B T K G H"],
  k: at.Float[at.Array, "*B S K H"],
  v: at.Float[at.Array, "*B S K H"],
  mask: at.Bool[at.Array, "*C T S"] | None,
) -> at.Float[at.Array, "*B T K G H"]:
  """softmax(q k / sqrt(H)) v with the mask's leading axes broadcast."""
  return _forward(q, k, v, mask)[0]


def _forward(q, k, v, mask):
  shape, dtype = q.shape, v.dtype
  q = _queries_first(q * jnp.asarray(shape[-1] ** -0.5, q.dtype))
  k, v = _heads_first(k), _heads_first(v)
  # [.., K, M, S]; float32 whatever the dtype of q and k, for the softmax.
  scores = jnp.einsum(
    "...MH,...SH->...MS", q, k, preferred_element_type=jnp.float32
  )
  if mask is not None:
    scores = jnp.where(_over_groups(mask, shape), scores, MASKED)
  weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
  weights = weights / jnp.sum(weights, axis=-1, keepdims=True)
  weights = weights.astype(dtype)
  out = products.settled(jnp.einsum("...MS,...SH->...MH", weights, v))
  return _queries_back(out, shape), (q, k, v, weights, out)


def _backward(saved, grad):
  # With w the weights: dv = w^T do, ds = w * (do v^T - sum(do * o)),
  # dq = ds k, dk = ds^T q. The transposed products put the small matrix
  # first and transpose the small result.
  # `sum(do * o)` is the row sum of w * (do v^T), out of arrays that are smaller.
  q, k, v, weights, out = saved
  shape, dtype = grad.shape, grad.dtype
  grad = _queries_first(grad)
  total = jnp.sum((grad * out).astype(jnp.float32), axis=-1, keepdims=True)
  dweights = jnp.einsum(
    "...MH,...SH->...MS", grad, v, preferred_element_type=jnp.float32
  )
  dscores = (weights.astype(jnp.float32) * (dweights - total)).astype(dtype)
  dq = products.settled(jnp.einsum("...MS,...SH->...MH", dscores, k))
  dq = _queries_back(dq, shape) * jnp.asarray(shape[-1] ** -0.5, dtype)
  return dq, _over_queries(q, dscores), _over_queries(grad, weights), None


def _over_queries(x, weights):
  """sum over M of x [.., M, H] weights [.., M, S], as keys [.., S, K, H]."""
  x = products.settled(jnp.swapaxes(x, -1, -2))
  out = products.settled(jnp.einsum("...HM,...MS->...HS", x, weights))
  return jnp.moveaxis(out, -1, -3)


softmax_attention.defvjp(_forward, _backward)


def _queries_first(x: at.Array) -> at.Array:
  """[.., T, K, G, H] -> [.., K, M = T*G, H]."""
  # The queries of a group read the same keys: they are rows of one product.
  x = jnp.moveaxis(x, -3, -4)
  return products.settled(x.reshape(*x.shape[:-3], -1, x.shape[-1]))


def _queries_back(x: at.Array, shape: tuple[int, ...]) -> at.Array:
  """[.., K, M, H] -> [.., T, K, G, H] of `shape`."""
  *batch, length, heads, group, size = shape
  x = x.reshape(*batch, heads, length, group, size)  # [.., K, T, G, H]
  return jnp.moveaxis(x, -4, -3)


def _heads_first(x: at.Array) -> at.Array:
  """[.., S, K, H] -> [.., K, S, H]."""
  return products.settled(jnp.swapaxes(x, -2, -3))


def _over_groups(mask: at.Array, shape: tuple[int, ...]) -> at.Array:
  """[.., T, S] -> [.., 1, M, S]: the queries of a group see the same keys."""
  group = shape[-2]
  # [.., T, S] -> [.., 1, T, G, S]
  mask = jnp.broadcast_to(
    mask[..., None, :, None, :],
    (*mask.shape[:-2], 1, mask.shape[-2], group, mask.shape[-1]),
  )
  return mask.reshape(*mask.shape[:-3], -1, mask.shape[-1])  # M = T*G


def _lead(mask: at.Array, ndim: int) -> at.Array:
  """`mask` with axes of 1 in front, `ndim` in all."""
  return mask.reshape((1,) * (ndim - mask.ndim) + mask.shape)


def attend_cache(
  q: at.Float[at.Array, "B T N H"],
  *parts: tuple[
    at.Float[at.Array, "B K H _"],
    at.Float[at.Array, "B K _ H"],
    at.Bool[at.Array, "B _ _"],
  ],
) -> at.Float[at.Array, "B T N H"]:
  """`attend` for few queries a row, over a cache with its heads in front.

  Args:
    q: queries.
    *parts: keys [B, K, H, S], values [B, K, S, H] and which of them are visible
      to each query, [B, T, S] or [B, 1, S], of the parts of the cache.
  """
  batch, length, heads, size = q.shape
  kv_heads = parts[0][0].shape[1]
  q = q * jnp.asarray(size**-0.5, q.dtype)
  group = heads // kv_heads
  # [B, T, N, H] -> [B, K, M = T*G, H]: they read the same keys.
  q = q.reshape(batch, length, kv_heads, group, size).swapaxes(1, 2)
  q = q.reshape(batch, kv_heads, length * group, size)
  found = [_attend_part(q, *part) for part in parts]
  # One softmax over all parts, without joining them: that would copy the cache.
  top = functools.reduce(jnp.maximum, [part.top for part in found])
  scales = [jnp.exp(part.top - top) for part in found]
  pairs = list(zip(scales, found, strict=True))
  total = functools.reduce(jnp.add, [s * part.total for s, part in pairs])
  mixed = functools.reduce(jnp.add, [s * part.mixed for s, part in pairs])
  out = (mixed / total).astype(q.dtype)
  # [B, K, M, H] -> [B, T, N, H]
  out = out.reshape(batch, kv_heads, length, group, size).swapaxes(1, 2)
  return out.reshape(batch, length, heads, size)


class _Part(NamedTuple):
  """What queries take of a part of the keys, before it is weighed."""

  top: at.Float[at.Array, "B K M 1"]  # largest score
  total: at.Float[at.Array, "B K M 1"]  # sum of exp(score - top)
  mixed: at.Float[at.Array, "B K M H"]  # values, each times exp(score - top)


def _attend_part(q, keys, values, visible) -> _Part:
  """`q` [B, K, M, H] over one part of `attend_cache`; all in float32."""
  wide = jnp.float32
  scores = jnp.einsum("BKMH,BKHS->BKMS", q, keys, preferred_element_type=wide)
  if visible.shape[1] > 1:
    group = q.shape[2] // visible.shape[1]
    visible = jnp.repeat(visible, group, axis=1)  # [B, T, S] -> [B, M, S]
  scores = jnp.where(visible[:, None], scores, MASKED)
  top = jnp.max(scores, axis=-1, keepdims=True)
  weights = jnp.exp(scores - top)
  total = jnp.sum(weights, axis=-1, keepdims=True)
  weights = weights.astype(values.dtype)
  mixed = jnp.einsum(
    "BKMS,BKSH->BKMH", weights, values, preferred_element_type=wide
  )
  return _Part(top, total, mixed)

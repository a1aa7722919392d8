"""Blocked attention with its own backward pass equals the textbook's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax.models import attention
from crab_jax.models import decoder


def _textbook(q, k, v, mask):
  group = q.shape[2] // k.shape[2]
  k, v = (jnp.repeat(x, group, axis=2) for x in (k, v))
  scores = jnp.einsum("BTNH,BSNH->BNTS", q, k) / np.sqrt(q.shape[-1])
  scores = jnp.where(mask[:, None], scores, -1e30)
  return jnp.einsum("BNTS,BSNH->BTNH", jax.nn.softmax(scores), v)


def _inputs(length, kv_heads=2):
  rng = np.random.default_rng(length)
  shapes = [(2, length, 4, 8)] + [(2, length, kv_heads, 8)] * 2
  q, k, v = (rng.standard_normal(s).astype(np.float32) for s in shapes)
  segments = np.sort(rng.integers(0, 4, (2, length))).astype(np.int32)
  return q, k, v, segments


@pytest.mark.parametrize("length", [5, 384])
@pytest.mark.parametrize("causal", [True, False])
def test_outputs_and_gradients(length, causal):
  q, k, v, segments = _inputs(length)
  mask = segments[:, :, None] == segments[:, None]
  if causal:
    mask &= np.tril(np.ones((length, length), bool))

  def ours(q, k, v):
    out = attention.attend(
      q,
      k,
      v,
      query_segments=segments,
      key_segments=segments,
      causal=causal,
    )
    return jnp.sum(jnp.sin(out)), out

  def textbook(q, k, v):
    out = _textbook(q, k, v, mask)
    return jnp.sum(jnp.sin(out)), out

  found, expected = (
    jax.jit(jax.grad(f, argnums=(0, 1, 2), has_aux=True))(q, k, v)
    for f in (ours, textbook)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=3e-6),
    found,
    expected,
  )


def test_blocks_of_queries():
  assert [attention.query_blocks(n) for n in (64, 128, 256, 512)] == [
    1,
    1,
    2,
    4,
  ]
  assert attention.query_blocks(2048) == 8
  assert attention.query_blocks(744) == 4
  assert attention.query_blocks(1021) == 1  # a prime


def test_leading_axes_without_a_mask():
  q, k, v, _ = _inputs(6)
  shape = (2, 3, 2, *q.shape[2:])
  split = [x.reshape(2, 3, 2, *x.shape[2:]) for x in (q, k, v)]
  out = attention.attend(*split)
  assert out.shape == shape
  part = _textbook(*(x[:, 1] for x in split), np.ones((2, 2, 2), bool))
  np.testing.assert_allclose(out[:, 1], part, atol=1e-6)


def test_a_query_that_sees_nothing_is_finite():
  q, k, v, _ = _inputs(4)
  out = attention.attend(
    q,
    k,
    v,
    query_segments=np.ones((2, 4), np.int32),
    key_segments=np.zeros((2, 4), np.int32),
  )
  assert np.all(np.isfinite(out))


@pytest.mark.parametrize("first", [0, 5, 7])
def test_cache_equals_the_last_query(first):
  """Keys and values in two parts, with room in both that is not visible."""
  q, k, v, _ = _inputs(7)
  whole = attention.attend(q, k, v, causal=True)
  room = ((0, 0), (0, 2), (0, 0), (0, 0))
  parts = []
  for place in (slice(0, first), slice(first, 7)):
    keys, values = (
      np.pad(x[:, place], room, constant_values=9) for x in (k, v)
    )
    size = keys.shape[1]
    visible = np.arange(size)[None, None] < size - 2
    pair = decoder.cache_layout((keys, values))
    parts.append((*pair, np.repeat(visible, 2, axis=0)))
  found = attention.attend_cache(q[:, -1:], *parts)
  np.testing.assert_allclose(found, whole[:, -1:], atol=1e-6)


def test_cache_equals_the_last_queries():
  """Three queries, each of which sees those before it."""
  q, k, v, _ = _inputs(7)
  whole = attention.attend(q, k, v, causal=True)
  keys, values = decoder.cache_layout((k, v))
  past = (keys[..., :4], values[:, :, :4], np.ones((2, 1, 4), bool))
  visible = np.broadcast_to(np.tri(3, dtype=bool)[None], (2, 3, 3))
  new = (keys[..., 4:], values[:, :, 4:], visible)
  found = attention.attend_cache(q[:, 4:], past, new)
  np.testing.assert_allclose(found, whole[:, 4:], atol=1e-6)

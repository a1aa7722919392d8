"""The kernel of splash attention, interpreted, against XLA's attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax.models import attention
from crab_jax.models import splash

_N, _K, _H = 4, 2, 128


def _rows(length, seed=0):
  """Two rows of several segments, the rest padding: q, k, v, segments."""
  keys = jax.random.split(jax.random.key(seed), 3)
  q, k, v = (
    jax.random.normal(key, (2, length, heads, _H))
    for key, heads in zip(keys, (_N, _K, _K), strict=True)
  )
  cuts = np.array([[0.3, 0.35, 0.9], [0.6, 0.6, 0.6]]) * length
  place = np.arange(length)
  segments = 1 + np.sum(place[None, None] >= cuts[..., None], axis=1)
  return q, k, v, jnp.asarray(np.where(segments == 4, 0, segments), jnp.int32)


def _by_xla(q, k, v, segments):
  return attention.attend(
    q, k, v, query_segments=segments, key_segments=segments, causal=True
  )


def _interpreted(q, k, v, segments):
  return splash.kernel(q, k, v, segments, interpret=True)


def test_outputs_and_gradients_are_those_of_xla():
  q, k, v, segments = _rows(384)  # three blocks of 128
  weight = jax.random.normal(jax.random.key(9), q.shape)
  found, exact = (
    jax.jit(
      jax.value_and_grad(
        lambda q, k, v, f=f: jnp.sum(f(q, k, v, segments) * weight), (0, 1, 2)
      )
    )(q, k, v)
    for f in (_interpreted, _by_xla)
  )
  assert found[0] == pytest.approx(float(exact[0]), rel=1e-5)
  for one, other in zip(found[1], exact[1], strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5)


def test_bfloat16_is_as_close_as_that_of_xla():
  *arrays, segments = _rows(256)
  exact = _by_xla(*arrays, segments)
  narrow = [x.astype(jnp.bfloat16) for x in arrays]
  ours, theirs = (
    np.abs(np.asarray(jax.jit(f)(*narrow, segments), np.float32) - exact).max()
    for f in (_interpreted, _by_xla)
  )
  assert ours <= 1.5 * theirs


def test_elsewhere_and_for_odd_lengths_it_is_that_of_xla():
  for length in (128, 100):
    rows = _rows(length)
    np.testing.assert_array_equal(
      jax.jit(splash.attend)(*rows), jax.jit(_by_xla)(*rows)
    )


def test_blocks_divide_the_length():
  assert [splash.block(n) for n in (128, 384, 768, 1536, 2048)] == [
    128, 128, 256, 512, 1024,
  ]  # fmt: skip

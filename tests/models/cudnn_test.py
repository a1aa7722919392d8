"""What jax's cuDNN attention is asked for, computed by XLA, against our own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import cudnn

_N, _K, _H = 4, 2, 16


def _rows(length):
  """Two rows of several segments, the rest padding: q, k, v, segments."""
  keys = jax.random.split(jax.random.key(0), 3)
  q, k, v = (
    jax.random.normal(key, (2, length, heads, _H))
    for key, heads in zip(keys, (_N, _K, _K), strict=True)
  )
  segments = np.zeros((2, length), np.int32)
  segments[0, :20], segments[0, 20:30] = 1, 2
  segments[1, : length - 3] = 1
  return q, k, v, jnp.asarray(segments)


def _by_xla(q, k, v, segments):
  return attention.attend(
    q, k, v, query_segments=segments, key_segments=segments, causal=True
  )


def _asked(q, k, v, segments):
  return cudnn.kernel(q, k, v, segments, implementation="xla")


def test_outputs_and_gradients_are_those_of_our_attention():
  q, k, v, segments = _rows(40)
  weight = jax.random.normal(jax.random.key(9), q.shape)
  found, exact = (
    jax.jit(
      jax.value_and_grad(
        lambda q, k, v, f=f: jnp.sum(f(q, k, v, segments) * weight), (0, 1, 2)
      )
    )(q, k, v)
    for f in (_asked, _by_xla)
  )
  assert found[0] == pytest.approx(float(exact[0]), rel=1e-5)
  for one, other in zip(found[1], exact[1], strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="it is there")
def test_without_a_gpu_it_is_that_of_xla():
  rows = _rows(40)
  np.testing.assert_array_equal(cudnn.attend(*rows), _by_xla(*rows))


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
def test_on_a_gpu_it_is_near_that_of_xla():
  *arrays, segments = _rows(128)
  exact = _by_xla(*arrays, segments)
  narrow = [x.astype(jnp.bfloat16) for x in arrays]
  ours, theirs = (
    np.abs(np.asarray(jax.jit(f)(*narrow, segments), np.float32) - exact).max()
    for f in (cudnn.attend, _by_xla)
  )
  assert ours <= 1.5 * theirs


@pytest.mark.parametrize(
  ("changes", "size"),
  [({"compute_dtype": "float32"}, 64), ({}, 12), ({}, 256)],
)
def test_a_model_that_the_kernel_cannot_run_is_refused(changes, size):
  model = configs.tiny(compute_dtype="bfloat16")
  decoder = dataclasses.replace(
    model.decoder,
    head_size=size,
    rope_sections=(size // 2 - 4, 2, 2),
  )
  with pytest.raises(ValueError, match='"cudnn" where'):
    dataclasses.replace(model, decoder=decoder, attention="cudnn", **changes)

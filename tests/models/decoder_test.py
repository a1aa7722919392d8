"""The decoder's options: LLaMA has no q, k, v biases and another epsilon."""

import dataclasses

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.models import decoder
from crab_jax.models import rope

_TINY = configs.tiny()


def _model(**changes) -> configs.Model:
  return configs.tiny(decoder=dataclasses.replace(_TINY.decoder, **changes))


def _layer(model: configs.Model, x):
  """The module, its inputs and its parameters, all drawn at random."""
  positions = jnp.zeros((*x.shape[:2], 3), jnp.int32)
  table = rope.decoder_table(positions, model.decoder)
  inputs = (x, table, jnp.ones(x.shape[:2], jnp.int32))
  module = decoder.DecoderLayer(model)
  made = jax.jit(module.init)(jax.random.key(0), *inputs)
  params = nn.meta.unbox(made)["params"]
  return module, inputs, params


@pytest.mark.parametrize("bias", [True, False])
def test_biases_of_queries_keys_and_values(bias):
  x = jnp.ones((1, 3, 128))
  params = _layer(_model(qkv_bias=bias), x)[2]
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  expected = (
    {f"self_attn/{name}_proj/bias" for name in "qkv"} if bias else set()
  )
  assert {path for path in flat if path.endswith("bias")} == expected


@pytest.mark.parametrize("silent,factor", [("mlp", 2), ("self_attn", 4)])
def test_epsilon_is_that_of_both_norms(silent, factor):
  """Small inputs: the norm divides by the root of epsilon alone.

  Attention at equal positions is nearly the mean of values, which are linear;
  the gated MLP is quadratic near zero.
  """
  x = 1e-2 * jax.random.normal(jax.random.key(1), (1, 3, 128))
  found = []
  for epsilon in (1.0, 4.0):
    module, inputs, params = _layer(_model(norm_epsilon=epsilon), x)
    params[silent] = jax.tree.map(jnp.zeros_like, params[silent])
    out, _ = module.apply({"params": params}, *inputs)
    found.append(np.asarray(out - x, np.float64))
  large, small = (np.linalg.norm(change) for change in found)
  assert abs(large / small - factor) < 0.05

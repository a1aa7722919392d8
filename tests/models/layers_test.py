"""Norms, GELU, the gated MLP and the plain projection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.models import few_rows
from crab_jax.models import layers
from crab_jax.models import token_context

CONFIG = configs.tiny()


def test_rms_norm_in_float32_then_weight():
  x = jnp.asarray([[3.0, -4.0, 0.0, 0.0]], jnp.bfloat16)
  weight = jnp.asarray([1.0, 2.0, 3.0, 4.0])
  y = layers.RMSNorm(CONFIG).apply({"params": {"weight": weight}}, x)
  assert y.dtype == jnp.bfloat16
  expected = jnp.asarray([[1.2, -1.6, 0, 0]], jnp.bfloat16) * weight.astype(
    jnp.bfloat16
  ).reshape(1, 4)
  np.testing.assert_array_equal(y, expected)


def test_layer_norm():
  x = jnp.asarray([[1.0, 3.0]])
  params = {"weight": jnp.array([2.0, 2.0]), "bias": jnp.array([0.5, 0.0])}
  y = layers.LayerNorm(CONFIG).apply({"params": params}, x)
  np.testing.assert_allclose(y, [[-1.5, 2.0]], atol=1e-4)


def test_gelu_is_the_exact_one():
  x = jnp.linspace(-6, 6, 101)
  exact = jax.nn.gelu(x, approximate=False)
  np.testing.assert_allclose(layers.gelu(x), exact, atol=1e-6)
  assert np.abs(exact - jax.nn.gelu(x)).max() > 1e-4


def test_gated_mlp():
  mlp = layers.GatedMlp(
    5, CONFIG, ("embed", "mlp"), use_bias=True, adapter=None
  )
  x = jax.random.normal(jax.random.key(0), (2, 3, 4))
  params = nn.meta.unbox(mlp.init(jax.random.key(1), x))["params"]
  w = {k: v["kernel"] for k, v in params.items()}
  inside = jax.nn.silu(x @ w["gate_proj"]) * (x @ w["up_proj"])
  np.testing.assert_allclose(
    mlp.apply({"params": params}, x), inside @ w["down_proj"], atol=1e-6
  )
  assert params["down_proj"]["bias"].shape == (4,)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_have_the_param_dtype(dtype):
  config = configs.tiny(param_dtype=dtype)
  linear = layers.Linear(3, config, ("embed", "mlp"), name="fc1")
  params = linear.init(jax.random.key(0), jnp.ones((2, 4)))
  found = {x.dtype for x in jax.tree.leaves(params)}
  assert found == {jnp.dtype(dtype)}


@pytest.mark.parametrize("frozen", [None, "int8"])
def test_a_step_of_decoding_reads_kernels_either_way(frozen):
  """Its rows are few, and its kernels may be turned."""
  config = configs.tiny(frozen_dtype=frozen)
  linear = layers.Linear(6, config, ("embed", "mlp"), name="fc1")
  x = jax.random.normal(jax.random.key(0), (2, 1, 4))
  tree = nn.meta.unbox(linear.init(jax.random.key(1), x))["params"]
  whole = linear.apply({"params": tree}, x)
  decodes = token_context.TokenContext(cache=())
  for params in (tree, few_rows.turn(tree)):
    found = linear.apply({"params": params}, x, decodes)
    np.testing.assert_allclose(found, whole, rtol=1e-3, atol=1e-3)

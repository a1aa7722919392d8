"""int8 kernels: how far off they are, and that training goes on around them."""

import dataclasses

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.models import layers
from crab_jax.models import quantised
from crab_jax.paradigms import thinker
from tests.models import random_parameters

_FLOAT = configs.tiny(
  audio=dataclasses.replace(configs.tiny().audio, pool=10),
  adapter=configs.ILora(rank=4, alpha=8.0, dropout=0.0),
  remat="projections",
)
_INT8 = dataclasses.replace(_FLOAT, frozen_dtype="int8")


def _flat(tree):
  return flax.traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def params():
  return random_parameters.draw(_FLOAT, b=0.05)


@pytest.fixture(scope="module")
def stored(params):
  return quantised.fit(params, _INT8)


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  made = batch_lib.empty(_FLOAT, configs.Rows(2, 32, 1, 1, 4))
  made["tokens"][:] = rng.integers(0, 2048, (2, 32))
  made["segments"][:] = 1
  made["positions"][:] = np.arange(32)[None, :, None]
  seen, heard = _FLOAT.vision.unit_tokens, _FLOAT.audio.unit_tokens
  made["source"][:, 1 : 1 + seen] = np.arange(seen)
  made["source"][:, 18 : 18 + heard] = seen + np.arange(heard)
  made["frames"][:] = rng.integers(0, 256, made["frames"].shape)
  made["mel"][:] = rng.standard_normal(made["mel"].shape)
  made["mel_lengths"][:] = _FLOAT.audio.unit_frames
  made["supervised"][:] = np.arange(27, 31)
  made["labels"][:] = rng.integers(0, 2048, (2, 4))
  made["weights"][:] = 1
  return made


def test_no_value_is_off_by_more_than_half_a_step():
  size = np.array([1, 9, 0.1, 0]).reshape(1, 1, 4)  # of the columns
  kernel = np.random.default_rng(1).standard_normal((5, 64, 4)) * size
  values, scale = quantised.quantise(jnp.asarray(kernel, jnp.float32))
  assert (values.dtype, scale.dtype) == (jnp.int8, jnp.float32)
  assert (values.shape, scale.shape) == (kernel.shape, (5, 4))
  error = np.abs(kernel - values * np.asarray(scale)[:, None])
  assert (error <= np.asarray(scale)[:, None] * 0.5001).all()
  used = np.abs(np.asarray(values, np.int32)).max(axis=1)
  assert (used[:, :3] == 127).all()  # every column uses its whole range
  assert (used[:, 3] == 0).all()


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)]
)
def test_a_projection_is_that_of_the_rounded_kernel(dtype, tolerance):
  config = dataclasses.replace(_INT8, compute_dtype=dtype)
  linear = layers.Linear(48, config, ("embed", "mlp"), name="fc1")
  x = jax.random.normal(jax.random.key(0), (2, 3, 32))
  made = nn.meta.unbox(linear.init(jax.random.key(1), x))["params"]
  assert made["kernel"].dtype == jnp.int8
  rounded = made["kernel"] * made["kernel_scale"][None]
  y = linear.apply({"params": made}, x)
  assert y.dtype == jnp.dtype(dtype)
  np.testing.assert_allclose(y, x @ rounded, atol=tolerance * 4)
  # Drawn values spread like those of a kernel that is not quantised.
  assert np.std(rounded) == pytest.approx(32**-0.5, rel=0.1)


def test_stored_parameters_are_those_of_the_model(stored):
  shapes = _flat(nn.meta.unbox(thinker.abstract(_INT8)))
  found = {path: (x.shape, x.dtype) for path, x in _flat(stored).items()}
  assert found == {path: (x.shape, x.dtype) for path, x in shapes.items()}
  narrow = {path for path, (_, dtype) in found.items() if dtype == jnp.int8}
  assert "model/layers/mlp/down_proj/kernel" in narrow
  assert "visual/merger/mlp_0/kernel" in narrow
  assert not narrow & {"lm_head/kernel", "audio_tower/conv1/kernel"}
  assert quantised.is_quantised(stored)


def test_a_model_without_the_setting_is_left_alone(params):
  assert quantised.fit(params, _FLOAT) is params
  assert not quantised.is_quantised(params)


def test_logits_are_close_to_those_of_the_float_kernels(params, stored, batch):
  logits = jax.jit(
    lambda config, params: thinker.Thinker(config).apply(
      {"params": params}, batch, batch["supervised"], method="logits"
    ),
    static_argnums=0,
  )
  exact = np.asarray(logits(_FLOAT, params))
  error = np.asarray(logits(_INT8, stored)) - exact
  assert 0 < np.linalg.norm(error) < 0.03 * np.linalg.norm(exact)


def test_gradients_reach_the_adapter_and_hardly_turn(params, stored, batch):
  def gradients(config, params):
    flat = _flat(params)
    frozen = {path: x for path, x in flat.items() if "lora_" not in path}

    def loss(adapter):
      tree = flax.traverse_util.unflatten_dict({**frozen, **adapter}, sep="/")
      return (
        thinker.Thinker(config).apply({"params": tree}, batch, method="loss")
      ).total

    adapter = {path: x for path, x in flat.items() if "lora_" in path}
    return jax.jit(jax.grad(loss))(adapter)

  exact, found = gradients(_FLOAT, params), gradients(_INT8, stored)
  assert len(exact) == 3 * (7 + 3 + 3)
  for path, leaf in exact.items():
    one, other = (np.ravel(x) for x in (leaf, found[path]))
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine > 0.97, path

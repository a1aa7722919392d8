"""Frozen projections in int8: half the memory and half the traffic of bfloat16.

  W[d, f] ~ q[d, f] * scale[f],  scale[f] = max over d of |W[d, f]| / 127

One scale an output channel, so that the product runs on the integers (exact in
bfloat16, which holds -256..256) and its columns are scaled afterwards. No
value is off by more than half of its scale. Kernels of `layers.Linear` are
stored so; embeddings, `lm_head`, convolutions, biases, norms and the adapter
are not. Weight-only: activations and gradients keep `Model.compute_dtype`.
"""

import math

import flax.traverse_util
import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import axes

SCALE = "kernel_scale"  # beside the int8 `kernel`
_LARGEST = 127
# Standard deviation of a normal distribution cut off at two of its own.
_CUT = 0.87962566


def quantise(
  kernel: at.Float[at.Array, "*L D F"],
) -> tuple[at.Int[at.Array, "*L D F"], at.Float[at.Array, "*L F"]]:
  """int8 values and the float32 scale of every output channel."""
  wide = kernel.astype(jnp.float32)
  largest = jnp.max(jnp.abs(wide), axis=-2)
  # A column of zeros has the scale 1/127, as 0 / 0 would be NaN.
  scale = jnp.where(largest > 0, largest, 1) / _LARGEST
  steps = jnp.round(wide / scale[..., None, :])
  return steps.astype(jnp.int8), scale


def _integers(key, shape, dtype):
  """What `quantise` makes of LeCun-normal kernels, nearly."""
  # LeCun's distribution is cut off at two deviations, which become 127.
  drawn = jax.random.truncated_normal(key, -2, 2, shape)
  return jnp.round(drawn * (_LARGEST / 2)).astype(dtype)


def _scales(width: int):
  """The scales of `_integers` for kernels of `width` rows."""
  return nn.initializers.constant(2 / (_LARGEST * _CUT * math.sqrt(width)))


def kernel_of(
  module: nn.Module, shape: tuple[int, int], names: tuple[str, str]
) -> tuple[at.Int[at.Array, "D F"], at.Float[at.Array, "F"]]:
  """Declares the int8 kernel of a projection, and its scale."""
  kernel = module.param(
    "kernel", axes.named(_integers, *names), shape, jnp.int8
  )
  init = axes.named(_scales(shape[0]), names[1])
  scale = module.param(SCALE, init, shape[1:], jnp.float32)
  return axes.in_use(kernel, *names), scale  # int8 travels, not its cast


def scaled(
  y: at.Float[at.Array, "*B F"], scale: at.Float[at.Array, "F"]
) -> at.Float[at.Array, "*B F"]:
  """y * scale over the last axis, rounded once."""
  scale = scale.reshape((1,) * (y.ndim - 1) + (-1,))
  return (y.astype(jnp.float32) * scale).astype(y.dtype)


def is_quantised(params: at.Tree) -> bool:
  """True for parameters that `fit` has made, or a model that stores int8."""
  flat = flax.traverse_util.flatten_dict(params)
  return any(path[-1] == SCALE for path in flat)


def fit(params: at.Tree, config: configs.Model) -> at.Tree:
  """Base parameters as `Model.frozen_dtype` wants them stored.

  Args:
    params: float parameters, arrays or tracers; with or without adapter.
    config: the model that they are for.
  """
  if config.frozen_dtype != "int8":
    return params
  flat = flax.traverse_util.flatten_dict(params)
  made = {}
  for path, leaf in flat.items():
    if path[-1] == "kernel" and not _stays(path):
      made[path], made[*path[:-1], SCALE] = quantise(leaf)
    else:
      made[path] = leaf
  return flax.traverse_util.unflatten_dict(made)


def _stays(path: tuple[str, ...]) -> bool:
  """True for kernels that are not of a `layers.Linear`."""
  return path[-2] in ("lm_head", "conv1", "conv2")

"""The layers that towers and decoder share: Linear, norms, the gated MLP.

Parameter names follow the checkpoint of Qwen2.5-Omni, with `kernel` [in, out]
for a transposed `weight`; norms keep `weight` and `bias`. Base parameters have
`Model.param_dtype` (kernels, where `Model.frozen_dtype` says so, are int8: see
`quantised`) and are cast to `Model.compute_dtype` where they are used.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import ad_checkpoint

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.models import few_rows
from crab_jax.models import ilora
from crab_jax.models import products
from crab_jax.models import quantised
from crab_jax.models import token_context

KERNEL = nn.initializers.lecun_normal()
ZEROS = nn.initializers.zeros_init()
ONES = nn.initializers.ones_init()


class Linear(nn.Module):
  """y = x W + b, and the I-LoRA update when its name is a target.

  The output is tagged with the module's name for rematerialisation policies.
  """

  features: int  # F, columns
  config: configs.Model
  names: tuple[str, str]  # logical axes of the kernel
  use_bias: bool = True
  adapter: configs.ILora | None = None  # of the tower; see ilora.TARGETS

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "*B D"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "*B F"]:
    """Projects x; `context` is what the adapter reads of its tokens."""
    dtype = self.config.compute_dtype
    x = x.astype(dtype)
    y = self._base(x, context.cache is not None)
    if self.use_bias:
      init = axes.named(ZEROS, self.names[1])
      y = add_bias(
        y,
        self.param("bias", init, (self.features,), self.config.param_dtype),
      )
    if self.adapter is not None and self.name in ilora.TARGETS:
      y += ilora.update(
        self, x, self.features, self.names, self.adapter, context
      )
    # The gradients of kernel, bias, adapter and input all read that of y: without
    # `kept` XLA:CPU computes it anew for each.
    return ad_checkpoint.checkpoint_name(products.kept(y), self.name)

  def _base(self, x, decodes):
    """x W; a step of decoding, which has a cache, has few rows x."""
    config, names = self.config, self.names
    shape = (x.shape[-1], self.features)
    if self.has_variable("params", few_rows.TURNED):
      kernel: at.Array = self.get_variable("params", few_rows.TURNED)
      y = few_rows.project(x, kernel, is_turned=True)
      if config.frozen_dtype != "int8":
        return y
      return quantised.scaled(y, self.get_variable("params", quantised.SCALE))
    if config.frozen_dtype == "int8":
      kernel, scale = quantised.kernel_of(self, shape, names)
      if decodes:
        return quantised.scaled(few_rows.project(x, kernel), scale)
      # Exact: bfloat16 holds all of -127..127. The columns are scaled afterwards.
      y = products.project(x, kernel.astype(x.dtype))
      return quantised.scaled(y, scale)
    init = axes.named(KERNEL, *names)
    kernel = self.param("kernel", init, shape, config.param_dtype)
    # Cast before `in_use` gathers it: so the narrow dtype travels.
    if not decodes or kernel.dtype.itemsize > x.dtype.itemsize:
      kernel = kernel.astype(x.dtype)
    kernel = axes.in_use(kernel, *names)
    project = few_rows.project if decodes else products.project
    return project(x, kernel)


def gelu(x: at.Float[at.Array, "*B D"]) -> at.Float[at.Array, "*B D"]:
  """The exact GELU by erf, as torch has it."""
  # `jax.nn.gelu` takes erfc, which XLA:CPU computes four times as slowly.
  return x * (0.5 * (1 + jax.lax.erf(x * math.sqrt(0.5))))


def add_bias(
  y: at.Float[at.Array, "*B F"], bias: at.Float[at.Array, "F"]
) -> at.Float[at.Array, "*B F"]:
  """y + bias over the last axis."""
  # All axes are spelt out: the tests forbid implicit rank promotion.
  return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


def scale_by(
  x: at.Float[at.Array, "*B D"], weight: at.Float[at.Array, "D"]
) -> at.Float[at.Array, "*B D"]:
  """x * weight over the last axis."""
  return x * weight.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


class RMSNorm(nn.Module):
  """x / rms(x) in float32, cast to the dtype of x, then times weight."""

  config: configs.Model
  epsilon: float = 1e-6

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B D"]
  ) -> at.Float[at.Array, "*B D"]:
    weight = self.param(
      "weight", axes.named(ONES, "norm"), x.shape[-1:], self.config.param_dtype
    )
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide * wide, axis=-1, keepdims=True)
    # Cast first, then weighted: the order of torch's Qwen2RMSNorm.
    return scale_by(
      (wide * jax.lax.rsqrt(mean + self.epsilon)).astype(x.dtype), weight
    )


class LayerNorm(nn.Module):
  """Zero mean, unit variance in float32, times weight, plus bias."""

  config: configs.Model
  epsilon: float = 1e-5

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B D"]
  ) -> at.Float[at.Array, "*B D"]:
    dtype, shape = self.config.param_dtype, x.shape[-1:]
    weight = self.param("weight", axes.named(ONES, "norm"), shape, dtype)
    bias = self.param("bias", axes.named(ZEROS, "norm"), shape, dtype)
    wide = x.astype(jnp.float32)
    wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(wide * wide, axis=-1, keepdims=True)
    wide = wide * jax.lax.rsqrt(variance + self.epsilon)
    return add_bias(scale_by(wide, weight), bias).astype(x.dtype)


class GatedMlp(nn.Module):
  """down(silu(gate(x)) * up(x)), in the decoder and the vision tower."""

  width: int  # F
  config: configs.Model
  names: tuple[str, str]  # logical axes of the residual and of the inside
  use_bias: bool
  adapter: configs.ILora | None

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "*B D"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "*B D"]:
    def linear(name, features, names):
      return Linear(
        features,
        self.config,
        names,
        use_bias=self.use_bias,
        adapter=self.adapter,
        name=name,
      )

    # Gate and up read the same x, so they may share a dropout mask.
    shared = ilora.share_dropped(self, x, self.adapter, context)
    gate = linear("gate_proj", self.width, self.names)(x, shared)
    up = linear("up_proj", self.width, self.names)(x, shared)
    return linear("down_proj", x.shape[-1], self.names[::-1])(
      jax.nn.silu(gate) * up, context
    )

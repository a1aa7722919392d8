"""The spatial-temporal convolution connector: two frames to a quarter grid.

Blocks of RegNet over the patches of each frame, a convolution over two frames and
windows of two by two patches, blocks over its grid, a two-layer network. Nothing
of it reaches beyond the two frames, which are a unit. A last row and column of an
odd grid are left out, as the convolution has no padding.

Reference: VideoLLaMA 2, arXiv 2406.07476 (its connector of version 3.5); RegNet,
arXiv 2003.13678; squeeze and excitation, arXiv 1709.01507.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.models import layers

_SQUEEZE = 4  # channels of the input a channel of squeeze and excitation
_SIDE = 3  # patches along a side of the depthwise convolution
TAPS = _SIDE * _SIDE
WINDOW = 2  # patches along a side of what becomes a token


class ConvNorm(nn.Module):
  """A convolution of one patch and its norm; SiLU where it is `active`."""

  config: configs.Model
  features: int
  names: tuple[str, str]  # logical axes of the kernel
  active: bool = True

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B D"]
  ) -> at.Float[at.Array, "*B F"]:
    x = layers.Linear(
      self.features, self.config, self.names, use_bias=False, name="conv"
    )(x)
    x = layers.LayerNorm(self.config, name="bn")(x)
    return jax.nn.silu(x) if self.active else x


class DepthwiseNorm(nn.Module):
  """A convolution of three by three patches a channel, its norm, SiLU.

  `taps` [9, D] are in raster order; zeros stand around the grid.
  """

  config: configs.Model

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B Y X D"]
  ) -> at.Float[at.Array, "*B Y X D"]:
    height, width, channels = x.shape[-3:]
    init = axes.named(layers.KERNEL, "window", "tower_mlp")
    taps = self.param("taps", init, (TAPS, channels), self.config.param_dtype)
    edge = _SIDE // 2
    around = [(0, 0)] * (x.ndim - 3) + [(edge, edge)] * 2 + [(0, 0)]
    padded = jnp.pad(x, around)
    # A sum of shifted grids: a grouped convolution of one channel a group is the
    # slowest that XLA has, forward and backward.
    shifted = (
      padded[..., i : i + height, j : j + width, :]
      for i in range(_SIDE)
      for j in range(_SIDE)
    )
    parts = zip(taps, shifted, strict=True)
    x = sum((layers.scale_by(y, tap) for tap, y in parts), jnp.zeros_like(x))
    return jax.nn.silu(layers.LayerNorm(self.config, name="bn")(x))


class Excitation(nn.Module):
  """Channels weighed by what the means over their grid say."""

  config: configs.Model
  squeezed: int

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B Y X D"]
  ) -> at.Float[at.Array, "*B Y X D"]:
    names = ("tower_embed", "tower_mlp")
    y: at.Array = jnp.mean(x, axis=(-3, -2), keepdims=True)
    y = layers.Linear(self.squeezed, self.config, names, name="fc1")(y)
    y = layers.Linear(x.shape[-1], self.config, names[::-1], name="fc2")(
      jax.nn.silu(y)
    )
    return x * jax.nn.sigmoid(y)


class Block(nn.Module):
  """A block of RegNet with squeeze and excitation, of stride one."""

  config: configs.Model
  features: int

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B Y X E"]
  ) -> at.Float[at.Array, "*B Y X D"]:
    config, features = self.config, self.features
    names = ("tower_embed", "tower_mlp")
    inputs, shortcut = x.shape[-1], x
    x = ConvNorm(config, features, names, name="conv1")(x)
    x = DepthwiseNorm(config, name="conv2")(x)
    x = Excitation(config, squeezed(inputs), name="se")(x)
    x = ConvNorm(config, features, names[::-1], False, name="conv3")(x)
    if inputs != features:
      shortcut = ConvNorm(config, features, names, False, name="downsample")(
        shortcut
      )
    return jax.nn.silu(x + shortcut)


def squeezed(inputs: int) -> int:
  """Channels between the two layers of squeeze and excitation."""
  return round(inputs / _SQUEEZE)


class Stage(nn.Module):
  """Blocks "b1", "b2", .. one behind the other."""

  config: configs.Model
  blocks: int

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "*B Y X E"]
  ) -> at.Float[at.Array, "*B Y X D"]:
    # Unrolled: the first may have other inputs than the rest.
    for index in range(1, self.blocks + 1):
      width = self.config.decoder.width
      x = Block(self.config, width, name=f"b{index}")(x)
    return x


class ConvolutionProjector(nn.Module):
  """A token for each window of two by two patches of two frames."""

  config: configs.Model
  blocks: int  # of each stage

  @nn.compact
  def __call__(
    self, features: at.Float[at.Array, "B V U P E"]
  ) -> at.Float[at.Array, "B V X D"]:
    """X tokens of units of U = 2 frames, in raster order.

    Args:
      features: of the patches of every frame, a square grid in raster order.
    """
    config, width = self.config, self.config.decoder.width
    side = math.isqrt(features.shape[3])
    # [B, V, U, P, E] -> [B, V, U, Y, X, E]
    x = features.reshape(*features.shape[:3], side, side, features.shape[-1])
    x = Stage(config, self.blocks, name="s1")(x)
    # Windows do not overlap, so the convolution is one product.
    x = layers.Linear(
      width, config, ("tower_embed", "tower_mlp"), name="sampler"
    )(windows(x))
    x = Stage(config, self.blocks, name="s2")(jax.nn.silu(x))
    # [B, V, Y, X, D] -> [B, V, Y X, D]
    x = x.reshape(*x.shape[:2], -1, width)
    x = layers.Linear(
      width, config, ("tower_embed", "tower_mlp"), name="readout_0"
    )(x)
    return layers.Linear(
      width, config, ("tower_mlp", "embed"), name="readout_2"
    )(layers.gelu(x))


def windows(
  x: at.Float[at.Array, "B V U Y X D"],
) -> at.Float[at.Array, "B V y x F"]:
  """Windows of two by two positions; columns channel, frame, row, column."""
  batch, units, frames, *grid, channels = x.shape
  height, width = (n // WINDOW for n in grid)
  x = x[:, :, :, : height * WINDOW, : width * WINDOW]
  x = x.reshape(batch, units, frames, height, WINDOW, width, WINDOW, channels)
  # B V U y i x j D -> B V y x D U i j, the order of a torch kernel.
  x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
  return x.reshape(batch, units, height, width, -1)

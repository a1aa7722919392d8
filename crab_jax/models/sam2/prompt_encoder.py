"""The prompts of SAM 2 as tokens: box corners, points, a mask.

A label says what a point is. Slots that are not used are left out by
`valid` in the mask decoder; a label of padding is a token with a meaning of its
own, and the released predictor adds one to every prompt.
"""

import enum
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import layers

_EPSILON = 1e-6  # of the layer norms over channels
_KINDS = 4  # labels that have an embedding added
_SMALL = nn.initializers.normal(0.02)


class Label(enum.IntEnum):
  """What a point of a prompt is."""

  PADDING = -1
  OUTSIDE = 0
  INSIDE = 1
  TOP_LEFT = 2
  BOTTOM_RIGHT = 3


def fourier(
  positions: at.Float[at.Array, "*B 2"],
  gaussian: at.Float[jax.Array, "2 half"],
) -> at.Float[jax.Array, "*B _"]:
  """Sines and cosines of positions (x, y) in [0, 1], in float32.

  Args:
    positions: of the frame; the right and lower edges are 1.
    gaussian: random frequencies, a part of the checkpoint.
  """
  # Arguments reach 25 rad: products in bfloat16 would be noise.
  angles = jnp.einsum(
    "...i,ij->...j", 2 * positions - 1, gaussian, precision="highest"
  )
  angles = 2 * math.pi * angles
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def grid_positions(side: int) -> at.Float[jax.Array, "side side 2"]:
  """(x, y) of the middles of a square grid, x along the columns."""
  centres = (jnp.arange(side) + 0.5) / side
  x, y = jnp.meshgrid(centres, centres)
  return jnp.stack([x, y], -1)


class PromptEncoder(nn.Module):
  """Points and masks as what the mask decoder attends to."""

  config: configs.Sam2

  def setup(self):
    width, channels = self.config.features, self.config.mask_channels
    self.point_embed = self.param("point_embed", _SMALL, (_KINDS, width))
    self.not_a_point_embed = self.param("not_a_point_embed", _SMALL, (width,))
    self.no_mask_embed = self.param("no_mask_embed", _SMALL, (width,))
    self.mask_conv1 = nn.Conv(channels // 4, (2, 2), strides=2)
    self.mask_norm1 = nn.LayerNorm(_EPSILON, use_fast_variance=False)
    self.mask_conv2 = nn.Conv(channels, (2, 2), strides=2)
    self.mask_norm2 = nn.LayerNorm(_EPSILON, use_fast_variance=False)
    self.mask_conv3 = nn.Dense(width)

  def points(
    self,
    points: at.Float[at.Array, "B N 2"],
    labels: at.Int[at.Array, "B N"],
    gaussian: at.Float[jax.Array, "2 half"],
  ) -> at.Float[jax.Array, "B N D"]:
    """A token a point.

    Args:
      points: (x, y) in pixels of the image that the encoder sees.
      labels: of `Label`.
      gaussian: see `fourier`.
    """
    # A point is the middle of its pixel.
    coded = fourier((points + 0.5) / self.config.image_size, gaussian)
    coded = coded + self.point_embed[jnp.maximum(labels, 0)]
    padding = (labels == Label.PADDING)[..., None]
    return jnp.where(padding, self.not_a_point_embed[None, None], coded)

  def without_mask(self) -> at.Float[jax.Array, "D"]:
    """What is added to every position where no mask is given."""
    return self.no_mask_embed

  def mask(
    self, logits: at.Float[jax.Array, "B rows columns 1"]
  ) -> at.Float[jax.Array, "B _ _ D"]:
    """What a mask adds to the image embedding.

    Args:
      logits: of an earlier answer, four times as large as the embedding.
    """
    x = layers.gelu(self.mask_norm1(self.mask_conv1(logits)))
    x = layers.gelu(self.mask_norm2(self.mask_conv2(x)))
    return self.mask_conv3(x)

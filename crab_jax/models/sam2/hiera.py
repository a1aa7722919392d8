"""The image encoder of SAM 2: Hiera, four stages of windowed attention.

A block sees windows of its map, a few see the whole map; the first block of a
stage halves the map by pooling its queries. Maps are [B, rows, columns, D].

Reference: Hiera (arXiv 2306.00989), with the windowed position embedding of
arXiv 2311.05613.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import layers
from crab_jax.models.sam2 import resizing

_EPSILON = 1e-6  # of layer norms in the encoder
_MLP = 4  # times the width
# Queries of the whole map that attend at a time: 4,096 x 4,096 scores of 8
# heads are 0.5 GiB an image.
_QUERIES = 1024
_SMALL = nn.initializers.normal(0.02)


class Trunk(nn.Module):
  """Hiera: an image to the maps of its four stages."""

  config: configs.Sam2

  @nn.compact
  def __call__(
    self, image: at.Float[jax.Array, "B rows columns 3"]
  ) -> tuple[at.Float[jax.Array, "B _ _ _"], ...]:
    """The maps at strides 4, 8, 16 and 32."""
    config, dtype = self.config, self.config.encoder_dtype
    x = nn.Conv(
      config.width,
      (7, 7),
      strides=4,
      # Not SAME, which would pad one side more than the other.
      padding=((3, 3), (3, 3)),
      dtype=dtype,
      name="patch_embed",
    )(image.astype(dtype))
    x = x + self._positions(x.shape[1], x.shape[2])[None].astype(dtype)
    maps, number = [], 0
    for stage, blocks in enumerate(config.blocks):
      for index in range(blocks):
        first = stage > 0 and index == 0
        window = config.windows[stage - first]
        x = Block(
          width=config.widths[stage],
          heads=config.heads * 2**stage,
          window=0 if number in config.global_blocks else window,
          pools=first,
          dtype=dtype,
          name=f"block_{number}",
        )(x)
        number += 1
      maps.append(x)
    return tuple(maps)

  def _positions(self, rows: int, columns: int):
    """float32[rows, columns, D]: a coarse map resized, and a tile repeated."""
    config = self.config
    side, tile = config.background, config.tile
    coarse = self.param("pos_embed", _SMALL, (side, side, config.width))
    repeated = self.param(
      "pos_embed_window", _SMALL, (tile, tile, config.width)
    )
    resized = jnp.einsum(
      "ri,ijD,cj->rcD",
      resizing.cubic(side, rows),
      coarse,
      resizing.cubic(side, columns),
      precision="highest",
    )
    return resized + jnp.tile(repeated, (rows // tile, columns // tile, 1))


class Block(nn.Module):
  """Attention in windows and an MLP, each with a residual."""

  width: int  # D of what it returns
  heads: int
  window: int  # side; 0: the whole map
  pools: bool  # halves the map
  dtype: str

  @nn.compact
  def __call__(
    self, x: at.Float[jax.Array, "B rows columns D"]
  ) -> at.Float[jax.Array, "B _ _ _"]:
    h = self._norm("norm1")(x)
    rest = x
    if self.pools:
      # Of the normed input, not of x as in other transformers.
      rest = halved(nn.Dense(self.width, dtype=self.dtype, name="proj")(h))
    x = rest + self._attended(h, rest.shape[1], rest.shape[2])
    h = self._norm("norm2")(x)
    h = nn.Dense(_MLP * self.width, dtype=self.dtype, name="mlp_fc1")(h)
    h = nn.Dense(self.width, dtype=self.dtype, name="mlp_fc2")(layers.gelu(h))
    return x + h

  def _norm(self, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(
      _EPSILON, dtype=self.dtype, use_fast_variance=False, name=name
    )

  def _attended(self, h, height: int, width: int):
    """Attention of a map, windows joined again to a map of that size."""
    batch, rows, columns, _ = h.shape
    side = (self.window, self.window) if self.window else (rows, columns)
    # Padded after the norm and not masked: what is padded is seen as zeros.
    h = windows(h, side)
    qkv = nn.Dense(3 * self.width, dtype=self.dtype, name="attn_qkv")(h)
    q, k, v = jnp.split(qkv, 3, axis=-1)
    if self.pools:
      q = halved(q)
    query_side = q.shape[-3:-1]
    out = _attention(*(_heads(part, self.heads) for part in (q, k, v)))
    out = out.reshape(*q.shape)
    out = nn.Dense(self.width, dtype=self.dtype, name="attn_proj")(out)
    grid = -(-rows // side[0]), -(-columns // side[1])
    out = out.reshape(batch, *grid, *query_side, self.width)
    return joined(out)[:, :height, :width]


def halved(
  x: at.Float[jax.Array, "*B rows columns D"],
) -> at.Float[jax.Array, "*B _ _ D"]:
  """The largest of every 2 x 2 positions; both sides are even."""
  *batch, rows, columns, width = x.shape
  x = x.reshape(*batch, rows // 2, 2, columns // 2, 2, width)
  return x.max(axis=(-4, -2))


def windows(
  x: at.Float[jax.Array, "B rows columns D"], side: tuple[int, int]
) -> at.Float[jax.Array, "_ _ _ D"]:
  """[B * windows, side, side, D], zeros appended below and on the right."""
  batch, rows, columns, width = x.shape
  high, wide = side
  pad = -rows % high, -columns % wide
  x = jnp.pad(x, ((0, 0), (0, pad[0]), (0, pad[1]), (0, 0)))
  x = x.reshape(
    batch, (rows + pad[0]) // high, high, (columns + pad[1]) // wide, wide, -1
  )
  return x.swapaxes(2, 3).reshape(-1, high, wide, width)


def joined(
  x: at.Float[jax.Array, "B down across high wide D"],
) -> at.Float[jax.Array, "B _ _ D"]:
  """The map that a grid of windows makes, padding included."""
  batch, down, across, high, wide, width = x.shape
  return x.swapaxes(2, 3).reshape(batch, down * high, across * wide, width)


def _heads(x, heads: int):
  """[.., side, side, D] -> [.., side * side, N, H]."""
  return x.reshape(x.shape[0], -1, heads, x.shape[-1] // heads)


def _attention(q, k, v):
  """[B, T, N, H]; many queries a few at a time, to bound the scores."""
  batch, length, heads, size = q.shape
  if length <= _QUERIES or length % _QUERIES:
    return attention.attend(q, k, v)
  parts = q.reshape(batch, -1, _QUERIES, heads, size).swapaxes(0, 1)
  out = jax.lax.map(lambda part: attention.attend(part, k, v), parts)
  return out.swapaxes(0, 1).reshape(q.shape)


class Neck(nn.Module):
  """The maps of the stages as the mask decoder reads them."""

  config: configs.Sam2

  @nn.compact
  def __call__(
    self, maps: tuple[at.Float[jax.Array, "B _ _ _"], ...]
  ) -> tuple[at.Float[jax.Array, "B _ _ D"], ...]:
    """Maps of `Sam2.features` channels at strides 4, 8 and 16."""
    fine, middle, coarse, coarsest = (
      nn.Dense(
        self.config.features,
        dtype=self.config.encoder_dtype,
        name=f"lateral_{level}",
      )(x)
      for level, x in enumerate(maps)
    )
    # Only here does a coarser map flow into a finer one: released so.
    return fine, middle, coarse + coarsest.repeat(2, 1).repeat(2, 2)

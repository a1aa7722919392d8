"""The image encoder of SAM 2: Hiera, four stages of windowed attention.

A block sees windows of its map, a few see the whole map; the first block of a
stage halves the map by pooling its queries. Maps are [B, rows, columns, D].

Reference: Hiera (arXiv 2306.00989), with the windowed position embedding of
arXiv 2311.05613.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import layers
from crab_jax.models import products
from crab_jax.models.sam2 import resizing

_EPSILON = 1e-6  # of layer norms in the encoder
_MLP = 4  # times the width
# Queries of the whole map that attend at a time: 4,096 x 4,096 scores of 8
# heads are 0.5 GiB an image.
_QUERIES = 1024
# On CPU, of one head: their scores stay in the cache of a core.
_CPU_QUERIES = 256
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
      rest = halved(_dense(self.width, self.dtype, "proj")(h))
    x = rest + self._attended(h, rest.shape[1], rest.shape[2])
    h = self._norm("norm2")(x)
    h = _dense(_MLP * self.width, self.dtype, "mlp_fc1")(h)
    h = _dense(self.width, self.dtype, "mlp_fc2")(layers.gelu(h))
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
    qkv = _dense(3 * self.width, self.dtype, "attn_qkv")(h)
    q, k, v = jnp.split(qkv, 3, axis=-1)
    if self.pools:
      q = halved(q)
    query_side = q.shape[-3:-1]
    out = _attention(*(_heads(part, self.heads) for part in (q, k, v)))
    out = out.reshape(*q.shape)
    out = _dense(self.width, self.dtype, "attn_proj")(out)
    grid = -(-rows // side[0]), -(-columns // side[1])
    out = out.reshape(batch, *grid, *query_side, self.width)
    return joined(out)[:, :height, :width]


def _dense(features: int, dtype: str, name: str) -> nn.Dense:
  return nn.Dense(
    features, dtype=dtype, dot_general=products.dot_general, name=name
  )


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
  length = q.shape[1]
  if length <= _QUERIES or length % _QUERIES:
    return attention.attend(q, k, v)
  # Not by `jax.default_backend()`: a host without TPUs compiles for TPUs too.
  return jax.lax.platform_dependent(
    q, k, v, cpu=_by_head, default=functools.partial(_in_parts, _QUERIES)
  )


def _in_parts(count: int, q, k, v):
  """Attention of `count` queries at a time."""
  batch, _, heads, size = q.shape
  parts = q.reshape(batch, -1, count, heads, size).swapaxes(0, 1)
  out = jax.lax.map(lambda part: attention.attend(part, k, v), parts)
  return out.swapaxes(0, 1).reshape(q.shape)


def _by_head(q, k, v):
  """Attention of one image and one head at a time.

  XLA:CPU gives a product to the processor's matrix units only where it is of two
  matrices, not of two stacks.
  """
  batch, _, heads, size = q.shape
  # [B, T, N, H] -> [B N, 1, T, 1, H]
  alone = (
    x.swapaxes(1, 2).reshape(batch * heads, 1, -1, 1, size) for x in (q, k, v)
  )
  out = jax.lax.map(lambda qkv: _in_parts(_CPU_QUERIES, *qkv), tuple(alone))
  return out.reshape(batch, heads, -1, size).swapaxes(1, 2)


class Neck(nn.Module):
  """The maps of the stages as the mask decoder reads them."""

  config: configs.Sam2

  @nn.compact
  def __call__(
    self, maps: tuple[at.Float[jax.Array, "B _ _ _"], ...]
  ) -> tuple[at.Float[jax.Array, "B _ _ D"], ...]:
    """Maps of `Sam2.features` channels at strides 4, 8 and 16."""
    fine, middle, coarse, coarsest = (
      _dense(
        self.config.features, self.config.encoder_dtype, f"lateral_{level}"
      )(x)
      for level, x in enumerate(maps)
    )
    # Only here does a coarser map flow into a finer one: released so.
    return fine, middle, coarse + coarsest.repeat(2, 1).repeat(2, 2)

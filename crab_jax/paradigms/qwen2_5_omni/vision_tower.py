"""The vision tower: frame pairs of one square size, in static shapes.

A frame pair is P patches. Patches lie in *window order* from the first line
to the merger: window by window in raster order, merged 2x2 blocks in raster
order inside a window, the four patches of a block in raster order. So a
window block attends over [.., windows, patches of a window] and a full block
over [.., P], both by reshape. The merger's tokens go back to raster order.
There is no attention across frame pairs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import axes
from crab_jax.models import layers
from crab_jax.models import rope
from crab_jax.models import scanning
from crab_jax.models import token_context

# Of the pixels in 0..1, a channel (the image processor of the checkpoint).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
RESIDUAL = ("batch", "pairs", "positions", None)


def windows(config: configs.VisionTower) -> int:
  """Windows along one side of a frame."""
  return config.frame_size // config.window


def window_order(config: configs.VisionTower) -> np.ndarray:
  """The token in raster order at each position of window order: int[tokens]."""
  side = config.grid // config.merge
  count = windows(config)
  # wy my  wx mx -> wy wx  my mx
  order = np.arange(side * side).reshape(count, side // count, count, -1)
  return order.transpose(0, 2, 1, 3).reshape(-1)


def patch_coordinates(config: configs.VisionTower) -> np.ndarray:
  """(row, column) of each patch in window order: int[P, 2]."""
  side, merge = config.grid // config.merge, config.merge
  tokens = window_order(config)
  inside = np.indices((merge, merge)).reshape(2, -1)  # of a merged block
  corner = np.stack([tokens // side, tokens % side]) * merge
  # [2, tokens, merge^2] -> [P, 2]
  return (corner[:, :, None] + inside[:, None]).reshape(2, -1).T


def patchify(
  frames: at.UInt8[at.Array, "B V 2 height width 3"],
  config: configs.VisionTower,
) -> at.Float[at.Array, "B V P C"]:
  """Normalised patch rows in window order, float32.

  Columns are channel, frame, y, x of the patch, as the checkpoint's patch
  embedding wants them: C = 3 * unit_frames * patch^2.
  """
  count, merge, patch = windows(config), config.merge, config.patch
  side = config.grid // (merge * count)  # merged blocks along a window
  batch = frames.shape[:2]
  split = (count, side, merge, patch)
  x = frames.reshape(*batch, config.unit_frames, *split, *split, 3)
  # B V t  wy my ay y  wx mx ax x  c -> B V  wy wx my mx ay ax  c t y x
  x = x.transpose(0, 1, 3, 7, 4, 8, 5, 9, 11, 2, 6, 10)
  x = x.reshape(*batch, config.unit_positions, 3, -1)  # [B, V, P, c, t y x]
  shape = (1, 1, 1, 3, 1)
  mean, std = (np.array(x, np.float32).reshape(shape) for x in (MEAN, STD))
  x = (x.astype(jnp.float32) / 255 - mean) / std
  return x.reshape(*batch, config.unit_positions, -1)


def to_raster(
  tokens: at.Float[at.Array, "B V X D"], config: configs.VisionTower
) -> at.Float[at.Array, "B V X D"]:
  """Merged tokens from window order to raster order."""
  count = windows(config)
  if count == 1:
    return tokens
  side = config.grid // (config.merge * count)
  *batch, _, width = tokens.shape
  # .. wy wx  my mx  D -> .. wy my  wx mx  D
  x = tokens.reshape(*batch, count, count, side, side, width)
  return jnp.swapaxes(x, 3, 4).reshape(tokens.shape)


class VisionAttention(nn.Module):
  """Attention inside windows, or over the whole frame where `full`."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B V P D"],
    table: rope.Table,
    full: at.Bool[at.Array, ""],
  ) -> at.Float[at.Array, "B V P D"]:
    tower = configs.VisionTower.of(self.config.vision)
    shape = (*x.shape[:3], tower.heads, tower.width // tower.heads)
    names = ("tower_embed", "tower_heads")

    def heads(name):
      y = layers.Linear(tower.width, self.config, names, name=name)(x)
      return y.reshape(shape)

    q = rope.rotate(heads("q"), table)
    k = rope.rotate(heads("k"), table)
    out = self._attend(q, k, heads("v"), full).reshape(x.shape)
    return layers.Linear(tower.width, self.config, names[::-1], name="proj")(
      out
    )

  def _attend(self, q, k, v, full):
    tower = configs.VisionTower.of(self.config.vision)
    count = windows(tower) ** 2

    def by_window(q, k, v):
      # [B, V, P, N, H] -> [B, V, windows, P / windows, N, H]
      split = (*q.shape[:2], count, -1, *q.shape[3:])
      parts = (x.reshape(split) for x in (q, k, v))
      return attention.attend(*parts).reshape(q.shape)

    if count == 1 or len(tower.full_blocks) == tower.layers:
      return attention.attend(q, k, v)
    if not tower.full_blocks:
      return by_window(q, k, v)
    # In the scan `full` is an array: one program serves the blocks of both kinds.
    return jax.lax.cond(full, attention.attend, by_window, q, k, v)


class VisionBlock(nn.Module):
  """A pre-norm block."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B V P D"],
    table: rope.Table,
    full: at.Bool[at.Array, ""],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B V P D"], None]:
    config = self.config
    y = layers.RMSNorm(config, name="norm1")(x)
    y = VisionAttention(config, name="attn")(y, table, full)
    x = axes.constrain(x + y, *RESIDUAL)
    y = layers.RMSNorm(config, name="norm2")(x)
    y = layers.GatedMlp(
      configs.VisionTower.of(config.vision).mlp,
      config,
      ("tower_embed", "tower_mlp"),
      use_bias=True,
      adapter=config.tower_adapter,
      name="mlp",
    )(y, context)
    return axes.constrain(x + y, *RESIDUAL), None


class PatchEmbed(nn.Module):
  """Patch rows to the tower's width, without bias."""

  config: configs.Model

  @nn.compact
  def __call__(
    self, rows: at.Float[at.Array, "B V P C"]
  ) -> at.Float[at.Array, "B V P D"]:
    names = ("patch_inputs", "tower_embed")
    width = configs.VisionTower.of(self.config.vision).width
    return layers.Linear(
      width, self.config, names, use_bias=False, name="proj"
    )(rows)


class Merger(nn.Module):
  """merge x merge patches become one token of the decoder's width."""

  config: configs.Model

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "B V P D"]
  ) -> at.Float[at.Array, "B V X O"]:
    config, tower = self.config, configs.VisionTower.of(self.config.vision)
    x = layers.RMSNorm(config, name="ln_q")(x)
    merged = tower.merge**2 * tower.width
    # In window order the patches of a block lie side by side.
    x = x.reshape(*x.shape[:2], -1, merged)  # [B, V, X, merge^2 D]
    # Not "tower_embed" twice: two dimensions cannot claim one mesh axis.
    names = ("tower_embed", "tower_mlp")
    x = layers.Linear(merged, config, names, name="mlp_0")(x)
    x = layers.gelu(x)
    names = ("tower_mlp", "embed")
    return layers.Linear(config.decoder.width, config, names, name="mlp_2")(x)


class VisionTower(nn.Module):
  """Frame pairs to tokens of the decoder's width, in raster order."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    frames: at.UInt8[at.Array, "B V 2 height width 3"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B V X O"]:
    """X = unit_tokens tokens a pair; unused pairs give finite rubbish.

    Args:
      frames: the pairs, pixels 0..255.
      context: of the patches [B, V, P], in window order.
    """
    config, tower = self.config, configs.VisionTower.of(self.config.vision)
    rows = patchify(frames, tower).astype(config.compute_dtype)
    x = PatchEmbed(config, name="patch_embed")(rows)
    x = axes.constrain(x, *RESIDUAL)
    coordinates = patch_coordinates(tower)
    table = rope.vision_table(coordinates, tower.width // tower.heads)
    full = np.isin(np.arange(tower.layers), tower.full_blocks)  # bool[L]
    stack = scanning.stack(
      VisionBlock,
      config.tower_remat or config.remat,
      tower.layers,
      (nn.broadcast, 0, nn.broadcast),  # of `full` each layer gets its own
    )
    x, _ = stack(config, name="blocks")(x, table, jnp.asarray(full), context)
    return to_raster(Merger(config, name="merger")(x), tower)

"""CLIP's vision transformer: each frame by itself, up to the last layer but one.

Pre-norm blocks with quick GELU over the patches of a frame and a class token,
which is dropped at the end. The language model reads the output of the last
block of ours, which is the last but one of the released; nothing is normalised
behind it.

Reference: CLIP, arXiv 2103.00020.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import axes
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import scanning
from crab_jax.models import token_context

# Of the pixels in 0..1, a channel (CLIP's image processor).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
RESIDUAL = ("batch", "pairs", "positions", None)


def quick_gelu(x: at.Float[at.Array, "*B F"]) -> at.Float[at.Array, "*B F"]:
  """x sigmoid(1.702 x), with which CLIP was trained instead of GELU."""
  return x * jax.nn.sigmoid(1.702 * x)


def patchify(
  frames: at.UInt8[at.Array, "B V height width 3"], patch: int
) -> at.Float[at.Array, "B V P C"]:
  """Normalised patch rows in raster order, float32; columns channel, y, x."""
  batch, grid = frames.shape[:2], frames.shape[2] // patch
  x = frames.reshape(*batch, grid, patch, grid, patch, 3)
  # B V py y px x c -> B V py px c y x
  x = x.transpose(0, 1, 2, 4, 6, 3, 5).astype(jnp.float32) / 255
  shape = (1, 1, 1, 1, 3, 1, 1)
  mean, std = (np.array(x, np.float32).reshape(shape) for x in (MEAN, STD))
  return ((x - mean) / std).reshape(*batch, grid * grid, -1)


class ClipAttention(nn.Module):
  """Bidirectional attention inside a frame."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B V P D"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B V P D"]:
    config, tower = self.config, configs.ClipVision.of(self.config.vision)
    names, adapter = ("tower_embed", "tower_heads"), config.tower_adapter
    context = ilora.share_dropped(self, x, adapter, context)

    def heads(name):
      y = layers.Linear(tower.width, config, names, adapter=adapter, name=name)
      return y(x, context).reshape(*x.shape[:3], tower.heads, -1)

    out = attention.attend(heads("q_proj"), heads("k_proj"), heads("v_proj"))
    return layers.Linear(tower.width, config, names[::-1], name="out_proj")(
      out.reshape(x.shape)
    )


class ClipLayer(nn.Module):
  """A pre-norm block."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B V P D"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B V P D"], None]:
    config, tower = self.config, configs.ClipVision.of(self.config.vision)
    names = ("tower_embed", "tower_mlp")
    y = layers.LayerNorm(config, name="layer_norm1")(x)
    y = ClipAttention(config, name="self_attn")(y, context)
    x = axes.constrain(x + y, *RESIDUAL)
    y = layers.LayerNorm(config, name="layer_norm2")(x)
    y = layers.Linear(tower.mlp, config, names, name="fc1")(y)
    y = quick_gelu(y)
    y = layers.Linear(tower.width, config, names[::-1], name="fc2")(y)
    return axes.constrain(x + y, *RESIDUAL), None


class Clip(nn.Module):
  """Frames to the features of their patches."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    frames: at.UInt8[at.Array, "B V height width 3"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B V P D"]:
    """P patches a frame, in raster order.

    Args:
      frames: pixels 0..255.
      context: of the positions [B, V, P + 1], the class token first.
    """
    config, tower = self.config, configs.ClipVision.of(self.config.vision)
    names = ("patch_inputs", "tower_embed")
    rows = patchify(frames, tower.patch).astype(config.compute_dtype)
    x = layers.Linear(
      tower.width, config, names, use_bias=False, name="patch_embedding"
    )(rows)
    first = self._table("class_embedding", (tower.width,))
    first = jnp.broadcast_to(first, (*x.shape[:2], 1, tower.width))
    shape = (tower.patches + 1, tower.width)
    positions = self._table("position_embedding", shape)
    x = jnp.concatenate([first.astype(x.dtype), x], axis=2)
    # Spelt as in the checkpoint, whose names the tree keeps.
    x = layers.LayerNorm(config, name="pre_layrnorm")(x + positions)
    x = axes.constrain(x, *RESIDUAL)
    stack = scanning.stack(
      ClipLayer,
      config.tower_remat or config.remat,
      tower.layers,
      (nn.broadcast,),
    )
    x, _ = stack(config, name="layers")(x, context)
    # Without the class token, which no projector reads.
    return x[:, :, 1:]

  def _table(
    self, name: str, shape: tuple[int, ...]
  ) -> at.Float[at.Array, "1 1 P D"]:
    # One name for the class token [D], two for the table [P + 1, D].
    names = (None, "tower_embed")[-len(shape) :]
    init = axes.named(nn.initializers.normal(0.02), *names)
    table = self.param(name, init, shape, self.config.param_dtype)
    return table.astype(self.config.compute_dtype).reshape(1, 1, -1, shape[-1])

"""BEATs: filter-bank segments to features, in static shapes.

A segment of l valid frames has P = 8 floor(l / 16) valid positions, patches of 16
frames by 16 bins, time-major. Positions behind them are set to zero before the
convolution of positions and masked as keys in every attention, so a padded
segment gives what an unpadded one does. Layers are post-norm with a scaled
residual (deep norm); the scores of attention get a bias of the relative
position, weighed by a gate of the query.

Reference: BEATs, arXiv 2212.09058; deep norm, arXiv 2203.00555; the gated bias,
WavLM, arXiv 2110.13900.
"""

import math

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

RESIDUAL = ("batch", "chunks", "positions", None)
_GATE = 8  # columns of the gate's product, summed by four


def relative_buckets(positions: int, buckets: int, distance: int) -> np.ndarray:
  """The row of the bias table at (query, key): int32[P, P].

  Half of the buckets are for keys behind the query; of each half one half is
  exact and one logarithmic up to `distance`. In float32, as the reference.
  """
  place = np.arange(positions, dtype=np.int32)
  delta = place[None] - place[:, None]  # key - query
  half = buckets // 2
  exact = half // 2
  # float32 as the reference: float64 puts a distance into another bucket.
  far = np.maximum(np.abs(delta), 1).astype(np.float32)
  scaled = np.log(far / np.float32(exact)) / math.log(distance / exact)
  scaled = exact + (scaled * (half - exact)).astype(np.int32)
  near = np.abs(delta)
  bucket = np.where(near < exact, near, np.minimum(scaled, half - 1))
  return (bucket + half * (delta > 0)).astype(np.int32)


class PositionConvolution(nn.Module):
  """x + GELU of a grouped convolution over the positions, of even size.

  The kernel `weight` [taps, width / groups, width] is that of the checkpoint with
  its weight norm multiplied out. The name is not "kernel": it is never int8.
  """

  config: configs.Model

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "B C P D"]
  ) -> at.Float[at.Array, "B C P D"]:
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    taps, width = tower.conv_taps, tower.width
    shape = (taps, width // tower.conv_groups, width)
    init = axes.named(layers.KERNEL, "window", None, "tower_embed")
    weight = self.param("weight", init, shape, config.param_dtype)
    init = axes.named(layers.ZEROS, "tower_embed")
    bias = self.param("bias", init, (width,), config.param_dtype)
    # Output p sees p - taps/2 .. p + taps/2 - 1: the reference pads both sides
    # alike and drops the last output.
    y = jax.lax.conv_general_dilated(
      jnp.reshape(x, (-1, *x.shape[2:])),
      weight.astype(x.dtype),
      window_strides=(1,),
      padding=((taps // 2, taps - 1 - taps // 2),),
      dimension_numbers=("NWC", "WIO", "NWC"),
      feature_group_count=tower.conv_groups,
    )
    return x + layers.gelu(layers.add_bias(y, bias)).reshape(x.shape)


class BeatsAttention(nn.Module):
  """Attention inside a segment with a gated bias of relative positions."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B C P D"],
    bias: at.Float[at.Array, "N P S"],
    valid: at.Bool[at.Array, "B C P"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B C P D"]:
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    names, adapter = ("tower_embed", "tower_heads"), config.tower_adapter
    context = ilora.share_dropped(self, x, adapter, context)

    def heads(name):
      y = layers.Linear(tower.width, config, names, adapter=adapter, name=name)
      return y(x, context).reshape(*x.shape[:3], tower.heads, -1)

    q, k, v = (heads(name) for name in ("q_proj", "k_proj", "v_proj"))
    scores = jnp.einsum(
      "BCPNH,BCSNH->BCNPS", q, k, preferred_element_type=jnp.float32
    )
    scores = scores * q.shape[-1] ** -0.5
    gate = self._gate(q).transpose(0, 1, 3, 2)  # [B, C, N, P]
    scores += gate[..., None] * bias[None, None]
    scores = jnp.where(valid[:, :, None, None], scores, attention.MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    out = jnp.einsum("BCNPS,BCSNH->BCPNH", weights, v).reshape(x.shape)
    return layers.Linear(tower.width, config, names[::-1], name="out_proj")(out)

  def _gate(
    self, q: at.Float[at.Array, "B C P N H"]
  ) -> at.Float[at.Array, "B C P N"]:
    """float32; reads the query before it is scaled."""
    # No axis of it is worth splitting.
    names = ("window", "window")
    u = layers.Linear(_GATE, self.config, names, name="grep_linear")(q)
    u = u.astype(jnp.float32).reshape(*q.shape[:-1], 2, _GATE // 2).sum(-1)
    a, b = jax.nn.sigmoid(u[..., 0]), jax.nn.sigmoid(u[..., 1])
    init = axes.named(layers.ONES, None)
    scale = self.param("grep_a", init, q.shape[3:4], self.config.param_dtype)
    scale = scale.astype(jnp.float32)[None, None, None]
    return a * (b * scale - 1) + 2


class BeatsLayer(nn.Module):
  """A post-norm layer with deep norm."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B C P D"],
    bias: at.Float[at.Array, "N P S"],
    valid: at.Bool[at.Array, "B C P"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B C P D"], None]:
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    alpha = (2 * tower.layers) ** 0.25
    y = BeatsAttention(config, name="self_attn")(x, bias, valid, context)
    x = layers.LayerNorm(config, name="self_attn_layer_norm")(alpha * x + y)
    x = axes.constrain(x, *RESIDUAL)
    names = ("tower_embed", "tower_mlp")
    y = layers.Linear(tower.mlp, config, names, name="fc1")(x)
    y = layers.gelu(y)
    y = layers.Linear(tower.width, config, names[::-1], name="fc2")(y)
    x = layers.LayerNorm(config, name="final_layer_norm")(alpha * x + y)
    return axes.constrain(x, *RESIDUAL), None


def patchify(
  units: at.Float[at.Array, "B C Y M"], patch: int
) -> at.Float[at.Array, "B C P K"]:
  """Patch rows, time-major and frequency-minor; columns frame, bin."""
  *batch, frames, bins = units.shape
  x = units.reshape(*batch, frames // patch, patch, bins // patch, patch)
  return jnp.swapaxes(x, 3, 4).reshape(*batch, -1, patch * patch)


class Beats(nn.Module):
  """Segments to the features of their patches."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    units: at.Float[at.Array, "B C Y M"],
    valid: at.Bool[at.Array, "B C P"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B C P D"]:
    """P positions a segment; those that are not valid hold finite rubbish.

    Args:
      units: normalised filter banks.
      valid: True where all frames of a position are of the segment.
      context: of the positions [B, C, P].
    """
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    rows = patchify(units, tower.patch).astype(config.compute_dtype)
    names = ("patch_inputs", "patch_inputs")
    x = layers.Linear(
      tower.embed, config, names, use_bias=False, name="patch_embedding"
    )(rows)
    x = layers.LayerNorm(config, name="layer_norm")(x)
    names = ("patch_inputs", "tower_embed")
    x = layers.Linear(tower.width, config, names, name="post_extract_proj")(x)
    x = jnp.where(valid[..., None], x, 0)
    x = PositionConvolution(config, name="pos_conv")(x)
    x = layers.LayerNorm(config, name="encoder_layer_norm")(x)
    x = axes.constrain(x, *RESIDUAL)
    stack = scanning.stack(
      BeatsLayer,
      config.tower_remat or config.remat,
      tower.layers,
      (nn.broadcast,) * 3,
    )
    x, _ = stack(config, name="layers")(x, self._bias(), valid, context)
    return x

  def _bias(self) -> at.Float[at.Array, "N P S"]:
    """float32: the bias of every head at (query, key), for all layers."""
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    init = axes.named(nn.initializers.normal(0.02), None, None)
    shape = (tower.buckets, tower.heads)
    table = self.param(
      "relative_attention_bias", init, shape, config.param_dtype
    )
    index = relative_buckets(
      tower.unit_positions, tower.buckets, tower.max_distance
    )
    bias = jnp.take(table.astype(jnp.float32), index, axis=0)  # [P, S, N]
    return bias.transpose(2, 0, 1)

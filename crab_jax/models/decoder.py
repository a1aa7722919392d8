"""The language model: Qwen2.5 decoder layers with TMRoPE.

Pre-norm layers, x += o(attend(norm(x))), x += down(silu(gate) * up), grouped
query attention inside segments. The vocabulary projection is the thinker's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import axes
from crab_jax.models import cudnn
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import rope
from crab_jax.models import scanning
from crab_jax.models import splash
from crab_jax.models import token_context

HEADS = ("batch", "length", "act_heads", None)
KV_HEADS = ("batch", "length", "act_kv_heads", None)
RESIDUAL = ("batch", "length", "act_embed")

# Keys and values of one layer: [B, T, K, H] each, [B, K, H, S] and [B, K, S, H]
# in a cache; of all layers with L in front.
KeyValues = tuple[at.Array, at.Array]


class Cache(NamedTuple):
  """What a layer remembers of the tokens before those that it is given.

  The prompt and the new tokens lie apart: a step writes only into the small
  part, of which XLA:CPU makes copies that it would else make of both.
  """

  prompt: KeyValues  # [B, K, H, T] and [B, K, T, H]
  visible: at.Array  # bool[B, T]: what of the prompt is no padding
  new: KeyValues  # [B, K, H, R] and [B, K, R, H]: room for R new tokens
  column: at.Array  # int32[]: where of R the first of the given tokens goes
  written: at.Array  # bool[B, X, R]: new ones that each of X given may see


class SelfAttention(nn.Module):
  """Causal grouped-query attention inside segments, or against a cache."""

  config: configs.Model

  def _linear(self, name, features, names, use_bias=True):
    return layers.Linear(
      features,
      self.config,
      names,
      use_bias=use_bias,
      adapter=self.config.adapter,
      name=name,
    )

  def _heads(self, name, x, heads, axis, context):
    """x projected to [B, T, heads, H]."""
    size = self.config.decoder.head_size
    bias = self.config.decoder.qkv_bias
    y = self._linear(name, heads * size, ("embed", axis), bias)(x, context)
    return y.reshape(*x.shape[:-1], heads, size)

  def _attend(self, q, k, v, segments):
    kernel = {"splash": splash, "cudnn": cudnn}.get(self.config.attention)
    if kernel is not None:
      return kernel.attend(q, k, v, segments)
    return attention.attend(
      q, k, v, query_segments=segments, key_segments=segments, causal=True
    )

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B T D"],
    table: rope.Table,
    segments: at.Int[at.Array, "B T"] | None,
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B T D"], KeyValues]:
    """Attends; returns the output, and the keys and values of x.

    Args:
      x: normalised residual.
      table: rotary table of the queries, [B, T, H/2].
      segments: as in the batch; 0 is padding. Not read with a cache.
      context: of the tokens of x. With a `Cache`, they are written into it
        first, and see what its masks say; the second result is then
        `Cache.new` with them.
    """
    sizes, cache = self.config.decoder, context.cache
    # q, k and v read the same x, so they may share a dropout mask.
    shared = ilora.share_dropped(self, x, self.config.adapter, context)
    q = self._heads("q_proj", x, sizes.heads, "heads", shared)
    k = self._heads("k_proj", x, sizes.kv_heads, "kv_heads", shared)
    v = self._heads("v_proj", x, sizes.kv_heads, "kv_heads", shared)
    q = axes.constrain(rope.rotate(q, table), *HEADS)
    k = axes.constrain(rope.rotate(k, table), *KV_HEADS)
    v = axes.constrain(v, *KV_HEADS)
    if cache is None:
      out = self._attend(q, k, v, segments)
    else:
      k, v = append(cache, (k, v))
      out = attention.attend_cache(
        q, (*cache.prompt, cache.visible[:, None]), (k, v, cache.written)
      )
    out = out.reshape(*x.shape[:-1], -1)  # [B, T, N, H] -> [B, T, N * H]
    o_proj = self._linear("o_proj", x.shape[-1], ("heads", "embed"), False)
    return o_proj(out, context), (k, v)


def append(cache: Cache, new: KeyValues) -> KeyValues:
  """`cache.new` with `new`, [B, T, K, H] each, written from its column on."""
  (old_keys, old_values), (keys, values) = cache.new, cache_layout(new)
  keys_at, values_at = (0, 0, 0, cache.column), (0, 0, cache.column, 0)
  return (
    jax.lax.dynamic_update_slice(old_keys, keys, keys_at),
    jax.lax.dynamic_update_slice(old_values, values, values_at),
  )


def cache_layout(pair: KeyValues) -> KeyValues:
  """[.., T, K, H] each -> [.., K, H, T] and [.., K, T, H], as a cache has them.

  Heads come in front; keys are turned, as XLA:CPU multiplies few queries by rows
  of keys three times as slowly.
  """
  keys, values = pair
  return jnp.moveaxis(keys, -3, -1), jnp.swapaxes(values, -3, -2)


class DecoderLayer(nn.Module):
  """One layer; the second result is (keys, values) if `keep_cache`."""

  config: configs.Model
  keep_cache: bool = False

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B T D"],
    table: rope.Table,
    segments: at.Int[at.Array, "B T"] | None,
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B T D"], KeyValues | None]:
    """See `SelfAttention` for the arguments."""
    config = self.config
    epsilon = config.decoder.norm_epsilon
    y = layers.RMSNorm(config, epsilon, name="input_layernorm")(x)
    y, key_values = SelfAttention(config, name="self_attn")(
      y, table, segments, context
    )
    x = axes.constrain(x + y, *RESIDUAL)
    y = layers.RMSNorm(config, epsilon, name="post_attention_layernorm")(x)
    y = layers.GatedMlp(
      config.decoder.mlp,
      config,
      ("embed", "mlp"),
      use_bias=False,
      adapter=config.adapter,
      name="mlp",
    )(y, context)
    x = axes.constrain(x + y, *RESIDUAL)
    # The scan stacks what a layer returns: without a cache it must be nothing.
    return x, key_values if self.keep_cache else None


class Embedding(nn.Module):
  """The table of token embeddings, `weight` [V, D].

  Tokens of `Decoder.boundary` have rows of their own, `boundary`, so that they
  can train while the table is frozen.
  """

  config: configs.Model

  @nn.compact
  def __call__(
    self, tokens: at.Int[at.Array, "*B"]
  ) -> at.Float[at.Array, "*B D"]:
    shape = (self.config.decoder.vocabulary, self.config.decoder.width)
    init = axes.named(nn.initializers.normal(1.0), "vocab", "embed")
    weight = self.param("weight", init, shape, self.config.param_dtype)
    # Every device looks all rows of its group up in its own columns, and they
    # change columns for rows: 15 MB travel to a chip of sixteen for 16 x 2048
    # tokens of the 7B model, where the table has 1 GB.
    middle = (None,) * (tokens.ndim - 1)
    tokens = axes.constrain(tokens, "lookup", *middle)
    # Ids are in range; jax's default mode would check each, to fill in NaN.
    rows: at.Array = jnp.take(weight, tokens, axis=0, mode="clip")
    rows = axes.constrain(rows, "lookup", *middle, "lookup_embed").astype(
      self.config.compute_dtype
    )
    return self._with_boundary(rows, tokens)

  def _with_boundary(self, rows, tokens):
    first, count = self.config.decoder.boundary
    if not count:
      return rows
    init = axes.named(nn.initializers.normal(1.0), None, "embed")
    shape = (count, rows.shape[-1])
    table = self.param("boundary", init, shape, self.config.param_dtype)
    index = tokens - first
    own = jnp.take(table.astype(rows.dtype), index, axis=0, mode="clip")
    inside = (index >= 0) & (index < count)
    return jnp.where(inside[..., None], own, rows)


def merge(
  embedded: at.Float[at.Array, "B T D"],
  features: at.Float[at.Array, "B X D"],
  source: at.Int[at.Array, "B T"],
) -> at.Float[at.Array, "B T D"]:
  """Row source[b, t] of `features` where it is not -1, else the embedding."""
  # What is read for -1 is not used.
  index = jnp.maximum(source, 0)[:, :, None]
  rows = jnp.take_along_axis(features, index, axis=1, mode="clip")
  return jnp.where(
    (source >= 0)[:, :, None], rows.astype(embedded.dtype), embedded
  )


class Decoder(nn.Module):
  """Embeds, merges the towers' features, runs the layers, normalises."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    batch: at.Batch,
    features: at.Float[at.Array, "B X D"],
    context: token_context.TokenContext = token_context.EMPTY,
    *,
    keep_cache: bool = False,
  ) -> tuple[at.Float[at.Array, "B T D"], KeyValues | None]:
    """The final hidden states, and the keys and values if `keep_cache`.

    Args:
      batch: tokens, source, positions and segments, see `crab_jax.batch`.
      features: the table [vision tokens | audio tokens] of every row.
      context: of the tokens [B, T].
      keep_cache: True: return keys and values [L, B, T, K, H].
    """
    config = self.config
    x = Embedding(config, name="embed_tokens")(batch["tokens"])
    x = axes.constrain(merge(x, features, batch["source"]), *RESIDUAL)
    table = rope.decoder_table(batch["positions"], config.decoder)
    # All layers get the same table, segments and context.
    stack = scanning.stack(
      DecoderLayer, config.remat, config.decoder.layers, (nn.broadcast,) * 3
    )
    x, cache = stack(config, keep_cache, name="layers")(
      x, table, batch["segments"], context
    )
    norm = layers.RMSNorm(config, config.decoder.norm_epsilon, name="norm")
    return norm(x), cache

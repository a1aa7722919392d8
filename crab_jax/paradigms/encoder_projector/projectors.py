"""From the features of one unit to tokens of the language model.

`QueryProjector`: learnt queries attend to each other and to the features in a
Q-Former, a two-layer network widens what they gathered. `PooledProjector`: means
over frames and over patches, and one product. The third is `stc`. A projector
sees one unit at a time; that units follow each other, the language model alone
knows.

Reference: BLIP-2, arXiv 2301.12597 (Q-Former); Video-ChatGPT, arXiv 2306.05424
(pooled).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.configs import encoder_projector
from crab_jax.models import attention
from crab_jax.models import axes
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import scanning

_EPSILON = 1e-12  # of BERT's norms


class Dropout(nn.Module):
  """Inverted dropout while a model trains."""

  rate: float
  deterministic: bool

  def __call__(self, x: at.Float[at.Array, "*B D"]) -> at.Array:
    if self.deterministic or not self.rate:
      return x
    return ilora.dropout(x, self.rate, self.make_rng("dropout"))


class QueryAttention(nn.Module):
  """Attention of the queries, to themselves or to features; with its norm."""

  config: configs.Model
  sizes: encoder_projector.QueryProjector
  deterministic: bool

  @nn.compact
  def __call__(
    self,
    y: at.Float[at.Array, "B U Q D"],
    keys: at.Float[at.Array, "B U S E"],
    valid: at.Bool[at.Array, "B U S"] | None,
  ) -> at.Float[at.Array, "B U Q D"]:
    sizes, names = self.sizes, ("tower_embed", "tower_heads")

    def heads(name, x):
      x = layers.Linear(sizes.query_width, self.config, names, name=name)(x)
      # [B, U, Q, D] -> [B, U, Q, N, H]
      return x.reshape(*x.shape[:3], sizes.query_heads, -1)

    drop = Dropout(sizes.query_dropout, self.deterministic)
    q, k, v = heads("query", y), heads("key", keys), heads("value", keys)
    scores = jnp.einsum(
      "BUQNH,BUSNH->BUNQS", q, k, preferred_element_type=jnp.float32
    )
    scores = scores * q.shape[-1] ** -0.5
    if valid is not None:
      # [B, U, S] -> [B, U, 1, 1, S]: over heads and queries.
      scores = jnp.where(valid[:, :, None, None], scores, attention.MASKED)
    weights = drop(jax.nn.softmax(scores, axis=-1).astype(v.dtype))
    out: at.Array = jnp.einsum("BUNQS,BUSNH->BUQNH", weights, v).reshape(
      y.shape
    )
    out = layers.Linear(
      sizes.query_width, self.config, names[::-1], name="dense"
    )(out)
    return layers.LayerNorm(self.config, _EPSILON, name="norm")(drop(out) + y)


class QueryLayer(nn.Module):
  """A post-norm layer: self-attention, cross-attention, a network."""

  config: configs.Model
  sizes: encoder_projector.QueryProjector
  deterministic: bool

  @nn.compact
  def __call__(
    self,
    y: at.Float[at.Array, "B U Q D"],
    features: at.Float[at.Array, "B U S E"],
    valid: at.Bool[at.Array, "B U S"] | None,
  ) -> tuple[at.Float[at.Array, "B U Q D"], None]:
    config, sizes = self.config, self.sizes
    fields = (config, sizes, self.deterministic)
    y = QueryAttention(*fields, name="attention")(y, y, None)
    y = QueryAttention(*fields, name="crossattention")(y, features, valid)
    names = ("tower_embed", "tower_mlp")
    z = layers.Linear(sizes.query_mlp, config, names, name="fc1")(y)
    z = layers.gelu(z)
    z = layers.Linear(sizes.query_width, config, names[::-1], name="fc2")(z)
    z = Dropout(sizes.query_dropout, self.deterministic)(z)
    return layers.LayerNorm(config, _EPSILON, name="norm")(z + y), None


class QueryProjector(nn.Module):
  """`queries` tokens a unit, of the width of the language model."""

  config: configs.Model
  sizes: encoder_projector.QueryProjector

  @nn.compact
  def __call__(
    self,
    features: at.Float[at.Array, "B U S E"],
    valid: at.Bool[at.Array, "B U S"] | None,
    deterministic: bool,
  ) -> at.Float[at.Array, "B U Q D"]:
    """The tokens.

    Args:
      features: of the positions of every unit.
      valid: True where a position is of its unit; None: everywhere.
      deterministic: True: no dropout.
    """
    config, sizes = self.config, self.sizes
    features = layers.LayerNorm(config, name="norm")(features)
    shape = (sizes.queries, sizes.query_width)
    init = axes.named(nn.initializers.normal(0.02), None, "tower_embed")
    queries = self.param("query_tokens", init, shape, config.param_dtype)
    y: at.Array = jnp.broadcast_to(
      queries.astype(config.compute_dtype)[None, None],
      (*features.shape[:2], *shape),
    )
    y = layers.LayerNorm(config, _EPSILON, name="query_norm")(y)
    y = Dropout(sizes.query_dropout, deterministic)(y)
    stack = scanning.stack(
      QueryLayer,
      config.tower_remat or config.remat,
      sizes.query_layers,
      (nn.broadcast,) * 2,
    )
    layer = stack(config, sizes, deterministic, name="layers")
    y, _ = layer(y, features, valid)
    width = config.decoder.width
    # Not "tower_embed" and "embed": two dimensions cannot claim one mesh axis.
    y = layers.Linear(
      width, config, ("tower_embed", "tower_mlp"), name="proj_0"
    )(y)
    y = layers.gelu(y)
    return layers.Linear(width, config, ("tower_mlp", "embed"), name="proj_2")(
      y
    )


class PooledProjector(nn.Module):
  """A token a patch, averaged over frames, and one a frame, over patches."""

  config: configs.Model

  @nn.compact
  def __call__(
    self, features: at.Float[at.Array, "B V U P E"]
  ) -> at.Float[at.Array, "B V X D"]:
    """X = P + U tokens of units of U frames."""
    pooled = jnp.concatenate([features.mean(2), features.mean(3)], axis=2)
    names = ("tower_mlp", "embed")
    width = self.config.decoder.width
    return layers.Linear(width, self.config, names, name="proj")(pooled)

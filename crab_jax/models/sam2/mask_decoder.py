"""The mask decoder of SAM 2: prompts and image attend to each other.

Tokens are [B, N, D]: one for the object's presence, one for the predicted
overlaps, four for masks, then those of the prompt. Everything is float32.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import layers

MASKS = 4  # that are made at once: a single one, and three alternatives
_LAYERS = 2
_EPSILON = 1e-5  # of the norms of tokens
_MAP_EPSILON = 1e-6  # of the norm over channels of a map
_SMALL = nn.initializers.normal(0.02)


class Attention(nn.Module):
  """Attention whose queries, keys and values come from three places."""

  heads: int
  inner: int  # width of queries, keys and values

  @nn.compact
  def __call__(
    self,
    q: at.Float[jax.Array, "B T D"],
    k: at.Float[jax.Array, "B S D"],
    v: at.Float[jax.Array, "B S D"],
    valid: at.Bool[at.Array, "B S"] | None = None,
  ) -> at.Float[jax.Array, "B T D"]:
    """Attends; keys that are not valid are not seen, None: all are."""
    width = q.shape[-1]
    size = self.inner // self.heads
    q, k, v = (
      nn.Dense(self.inner, name=name)(x).reshape(*x.shape[:2], self.heads, size)
      for name, x in (("q", q), ("k", k), ("v", v))
    )
    segments = keys = None
    if valid is not None:
      keys = valid.astype(jnp.int32)
      segments = jnp.ones(q.shape[:2], jnp.int32)
    out = attention.attend(q, k, v, query_segments=segments, key_segments=keys)
    out = out.reshape(*out.shape[:2], self.inner)
    return nn.Dense(width, name="o")(out)


class Mlp(nn.Module):
  """Linear maps with ReLU between."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: at.Float[jax.Array, "*B D"]) -> jax.Array:
    for number, width in enumerate(self.widths, 1):
      x = nn.Dense(width, name=f"fc{number}")(x)
      if number < len(self.widths):
        x = jax.nn.relu(x)
    return x


class Layer(nn.Module):
  """Tokens attend to each other and to the image, then it to them."""

  config: configs.Sam2
  first: bool  # its tokens have no position yet

  @nn.compact
  def __call__(
    self,
    tokens: at.Float[jax.Array, "B T D"],
    image: at.Float[jax.Array, "B S D"],
    token_positions: at.Float[jax.Array, "B T D"],
    image_positions: at.Float[jax.Array, "#B S D"],
    valid: at.Bool[at.Array, "B T"],
  ) -> tuple[at.Float[jax.Array, "B T D"], at.Float[jax.Array, "B S D"]]:
    config, width = self.config, self.config.features

    def attend(name, inner):
      return Attention(config.decoder_heads, inner, name=name)

    if self.first:
      tokens = attend("self_attn", width)(tokens, tokens, tokens, valid)
    else:
      placed = tokens + token_positions
      tokens += attend("self_attn", width)(placed, placed, tokens, valid)
    tokens = _norm("norm1")(tokens)
    placed, seen = tokens + token_positions, image + image_positions
    tokens += attend("token_to_image", width // 2)(placed, seen, image)
    tokens = _norm("norm2")(tokens)
    tokens += Mlp((config.decoder_mlp, width), name="mlp")(tokens)
    tokens = _norm("norm3")(tokens)
    placed = tokens + token_positions
    image += attend("image_to_token", width // 2)(seen, placed, tokens, valid)
    return tokens, _norm("norm4")(image)


class Transformer(nn.Module):
  """Two layers, and a last look of the tokens at the image."""

  config: configs.Sam2

  @nn.compact
  def __call__(
    self,
    tokens: at.Float[jax.Array, "B T D"],
    image: at.Float[jax.Array, "B S D"],
    image_positions: at.Float[jax.Array, "#B S D"],
    valid: at.Bool[at.Array, "B T"],
  ) -> tuple[at.Float[jax.Array, "B T D"], at.Float[jax.Array, "B S D"]]:
    positions, config = tokens, self.config
    for number in range(_LAYERS):
      tokens, image = Layer(config, number == 0, name=f"layer_{number}")(
        tokens, image, positions, image_positions, valid
      )
    last = Attention(
      config.decoder_heads, config.features // 2, name="final_token_to_image"
    )
    tokens += last(tokens + positions, image + image_positions, image)
    return _norm("norm_final")(tokens), image


def _norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(_EPSILON, use_fast_variance=False, name=name)


class Doubled(nn.Module):
  """A transposed convolution of 2 x 2 with stride 2: no two outputs overlap."""

  features: int

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "B rows columns D"]
  ) -> at.Float[at.Array, "B _ _ F"]:
    shape = (x.shape[-1], 2, 2, self.features)
    init = nn.initializers.variance_scaling(
      1.0, "fan_in", "truncated_normal", in_axis=0, out_axis=3
    )
    kernel = self.param("kernel", init, shape)
    bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
    batch, rows, columns, _ = x.shape
    # An einsum: `nn.ConvTranspose` flips its kernel.
    x = jnp.einsum("brcD,DijF->bricjF", x, kernel)
    x = x.reshape(batch, 2 * rows, 2 * columns, self.features)
    return layers.add_bias(x, bias)


class MaskDecoder(nn.Module):
  """Image embedding and prompt tokens to four masks and their qualities."""

  config: configs.Sam2

  def setup(self):
    config, width = self.config, self.config.features
    self.obj_score_token = self.param("obj_score_token", _SMALL, (1, width))
    self.iou_token = self.param("iou_token", _SMALL, (1, width))
    self.mask_tokens = self.param("mask_tokens", _SMALL, (MASKS, width))
    self.transformer = Transformer(config)
    self.conv_s0 = nn.Dense(width // 8)
    self.conv_s1 = nn.Dense(width // 4)
    self.up1 = Doubled(width // 4)
    self.up_norm = nn.LayerNorm(_MAP_EPSILON, use_fast_variance=False)
    self.up2 = Doubled(width // 8)
    self.hyper = [Mlp((width, width, width // 8)) for _ in range(MASKS)]
    self.iou_head = Mlp((config.iou_hidden, config.iou_hidden, MASKS))
    self.obj_head = Mlp((width, width, 1))

  def fine(
    self,
    stride4: at.Float[jax.Array, "B _ _ D"],
    stride8: at.Float[jax.Array, "B _ _ D"],
  ) -> tuple[at.Float[jax.Array, "B _ _ _"], at.Float[jax.Array, "B _ _ _"]]:
    """What the finer maps add while masks grow: once an image."""
    return self.conv_s0(stride4), self.conv_s1(stride8)

  def __call__(
    self,
    fine: tuple[at.Float[jax.Array, "B _ _ _"], at.Float[jax.Array, "B _ _ _"]],
    embedding: at.Float[jax.Array, "B side side D"],
    positions: at.Float[jax.Array, "side side D"],
    prompt: at.Float[jax.Array, "B N D"],
    valid: at.Bool[at.Array, "B N"],
  ) -> tuple[
    at.Float[jax.Array, "B 4 _ _"],
    at.Float[jax.Array, "B 4"],
    at.Float[jax.Array, "B"],
  ]:
    """Decodes one prompt an image.

    Args:
      fine: of `fine`.
      embedding: of the image, with what a mask prompt adds.
      positions: of the embedding's cells.
      prompt: its tokens.
      valid: False: a token that is not there.

    Returns:
      Logits of the masks, their predicted overlaps in [0, 1], and the logit
      of an object being there.
    """
    batch, side, _, width = embedding.shape
    learnt = (self.obj_score_token, self.iou_token, self.mask_tokens)
    own = jnp.tile(jnp.concatenate(learnt)[None], (batch, 1, 1))
    tokens = jnp.concatenate([own, prompt], 1)
    seen = jnp.concatenate([jnp.ones(own.shape[:2], bool), valid], 1)
    tokens, image = self.transformer(
      tokens,
      embedding.reshape(batch, side * side, width),
      positions.reshape(1, side * side, width),
      seen,
    )
    square = image.reshape(batch, side, side, width)
    masks = self._masks(tokens[:, 2 : 2 + MASKS], square, fine)
    overlaps = jax.nn.sigmoid(self.iou_head(tokens[:, 1]))
    return masks, overlaps, self.obj_head(tokens[:, 0])[:, 0]

  def _masks(self, tokens, image, fine):
    """Grows the image four times and weighs its channels by each token."""
    middle = layers.gelu(self.up_norm(self.up1(image) + fine[1]))
    large = layers.gelu(self.up2(middle) + fine[0])
    weights = [head(tokens[:, n]) for n, head in enumerate(self.hyper)]
    return jnp.einsum("bmF,brcF->bmrc", jnp.stack(weights, 1), large)

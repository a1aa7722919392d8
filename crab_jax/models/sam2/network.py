"""SAM 2.1's image path: an image once, then a mask for each of its prompts.

`encode` and `decode` are the two programs that run; `select` chooses one of the
four masks as the released image predictor does. The predictor ignores the
score of an object's presence, and so does this.

The path through a video's memory is not part of it.

Reference: SAM 2 (arXiv 2408.00714); verified against transformers' Sam2Model.
"""

from typing import NamedTuple
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models.sam2 import hiera
from crab_jax.models.sam2 import mask_decoder
from crab_jax.models.sam2 import prompt_encoder

# Of mask 0 by how much its threshold may move: pixels above the higher one are
# at least so many of those above the lower one, or another mask is taken.
_SHIFT = 0.05
STABLE = 0.98
# Standard deviation of the random frequencies of positions, periods a frame. The
# released models have 1; a small one, trained for 800 steps, reached a mean J of 0.876
# with 1 and of 0.884 with a half (`training/mask_step.py`, one seed each).
_FREQUENCY = 0.5


class Encoded(NamedTuple):
  """What is kept of an image."""

  stride4: at.Float[jax.Array, "B _ _ _"]
  stride8: at.Float[jax.Array, "B _ _ _"]
  embedding: at.Float[jax.Array, "B side side D"]  # stride 16


class Prompt(NamedTuple):
  """One prompt an image; unused slots are not valid."""

  points: at.Float[at.Array, "B N 2"]  # (x, y), pixels of the encoder's image
  labels: at.Int[at.Array, "B N"]  # of `prompt_encoder.Label`
  valid: at.Bool[at.Array, "B N"]


class Decoded(NamedTuple):
  """All that the mask decoder says."""

  masks: at.Float[jax.Array, "B 4 rows columns"]  # logits
  overlaps: at.Float[jax.Array, "B 4"]  # predicted, in [0, 1]
  presence: at.Float[jax.Array, "B"]  # logit


class Sam2(nn.Module):
  """The whole network; `encode` and `decode` are its methods."""

  config: configs.Sam2

  def setup(self):
    config = self.config
    self.trunk = hiera.Trunk(config)
    self.neck = hiera.Neck(config)
    self.prompt_encoder = prompt_encoder.PromptEncoder(config)
    self.mask_decoder = mask_decoder.MaskDecoder(config)
    shape = (2, config.features // 2)
    # Not trained, but a part of every checkpoint.
    self.pe_gaussian = self.param(
      "pe_gaussian", nn.initializers.normal(1.0), shape
    )
    self.no_mem_embed = self.param(
      "no_mem_embed", nn.initializers.normal(0.02), (config.features,)
    )

  def encode(self, images: at.Float[jax.Array, "B rows columns 3"]) -> Encoded:
    """What is kept of normalised images of `image_size` pixels a side."""
    # Float32 products of TPUs round to bfloat16 unless more is asked for.
    precision = "highest" if self.config.encoder_dtype == "float32" else None
    with jax.default_matmul_precision(precision):
      maps = self.neck(self.trunk(images))
    fine, middle, coarse = (x.astype(jnp.float32) for x in maps)
    with jax.default_matmul_precision("highest"):
      kept = self.mask_decoder.fine(fine, middle)
    # What the released predictor adds to an image without a past.
    return Encoded(*kept, coarse + self.no_mem_embed.reshape(1, 1, 1, -1))

  def decode(
    self,
    encoded: Encoded,
    prompt: Prompt,
    mask: at.Float[jax.Array, "B rows columns 1"] | None = None,
  ) -> Decoded:
    """The masks of one prompt an image.

    Args:
      encoded: of `encode`.
      prompt: its box and points.
      mask: logits of an earlier answer, `config.logits` pixels a side.
    """
    with jax.default_matmul_precision("highest"):
      tokens = self.prompt_encoder.points(
        prompt.points, prompt.labels, self.pe_gaussian
      )
      if mask is None:
        added = self.prompt_encoder.without_mask().reshape(1, 1, 1, -1)
      else:
        added = self.prompt_encoder.mask(mask)
      grid = prompt_encoder.grid_positions(encoded.embedding.shape[1])
      return Decoded(
        *self.mask_decoder(
          (encoded.stride4, encoded.stride8),
          encoded.embedding + added,
          prompt_encoder.fourier(grid, self.pe_gaussian),
          tokens,
          prompt.valid,
        )
      )

  def __call__(
    self,
    images: at.Float[jax.Array, "B rows columns 3"],
    prompt: Prompt,
    mask: at.Float[jax.Array, "B _ _ 1"],
  ) -> Decoded:
    """Encodes and decodes; every parameter is used."""
    return self.decode(self.encode(images), prompt, mask)


def encode(config: configs.Sam2, params: at.Tree, images: at.Array) -> Encoded:
  """`Sam2.encode` as a function."""
  found = Sam2(config).apply({"params": params}, images, method="encode")
  return cast(Encoded, found)


def decode(
  config: configs.Sam2,
  params: at.Tree,
  encoded: Encoded,
  prompt: Prompt,
  mask: at.Array | None = None,
) -> Decoded:
  """`Sam2.decode` as a function."""
  found = Sam2(config).apply(
    {"params": params}, encoded, prompt, mask, method="decode"
  )
  return cast(Decoded, found)


def select(
  decoded: Decoded, threshold: float = STABLE
) -> tuple[at.Float[jax.Array, "B rows columns"], at.Float[jax.Array, "B"]]:
  """The logits of one mask an image, and its predicted overlap.

  The single mask where a small shift of its threshold changes little of it;
  else the alternative with the largest predicted overlap.

  Args:
    decoded: of `Sam2.decode`.
    threshold: share of the mask's pixels that must remain.
  """
  single = decoded.masks[:, 0]
  inner = jnp.sum(single > _SHIFT, (1, 2))
  outer = jnp.sum(single > -_SHIFT, (1, 2))
  share = jnp.where(outer > 0, inner / jnp.maximum(outer, 1), 1.0)
  best = 1 + jnp.argmax(decoded.overlaps[:, 1:], 1)
  chosen = jnp.where(share >= threshold, 0, best)
  masks = jnp.take_along_axis(decoded.masks, chosen[:, None, None, None], 1)
  overlaps = jnp.take_along_axis(decoded.overlaps, chosen[:, None], 1)
  return masks[:, 0], overlaps[:, 0]


def shapes(config: configs.Sam2) -> at.Tree:
  """The parameters as `jax.ShapeDtypeStruct`; allocates nothing."""
  size, logits = config.image_size, config.logits

  def init():
    prompt = Prompt(
      jnp.zeros((1, 1, 2)), jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool)
    )
    image = jnp.zeros((1, size, size, 3))
    mask = jnp.zeros((1, logits, logits, 1))
    return Sam2(config).init(jax.random.key(0), image, prompt, mask)

  return jax.eval_shape(init)["params"]


def draw(config: configs.Sam2, seed: int) -> at.Tree:
  """Random parameters, float32 arrays of numpy.

  On the host: XLA takes half a minute to compile the same by `Module.init`.
  """
  rng = np.random.default_rng(seed)

  def leaf(path, shape):
    name, drawn = path[-1].key, rng.standard_normal(shape.shape)
    if name in ("scale", "bias"):
      drawn = np.full(shape.shape, float(name == "scale"))
    elif name == "kernel":
      drawn /= np.sqrt(shape.size / shape.shape[-1])  # 1 / fan-in
    elif name == "pe_gaussian":
      drawn *= _FREQUENCY
    else:
      drawn *= 0.02  # embeddings and tokens
    return drawn.astype(np.float32)

  return jax.tree_util.tree_map_with_path(leaf, shapes(config))

"""Both encoders with their projectors, as `paradigms.network` wants them."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import token_context
from crab_jax.paradigms.encoder_projector import beats
from crab_jax.paradigms.encoder_projector import clip
from crab_jax.paradigms.encoder_projector import projectors
from crab_jax.paradigms.encoder_projector import stc


class VisionEncoder(nn.Module):
  """Units of frames to tokens of the decoder's width."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    frames: at.UInt8[at.Array, "B V U height width 3"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B V X D"]:
    """X = unit_tokens tokens a unit; unused units give finite rubbish.

    Args:
      frames: pixels 0..255.
      context: of the positions [B, V, U (P + 1)] of all frames of a unit.
    """
    config, tower = self.config, configs.ClipVision.of(self.config.vision)
    batch, units, count = frames.shape[:3]
    # [B, V, U, ..] -> [B, V U, ..]: CLIP sees each frame by itself.
    flat = frames.reshape(batch, units * count, *frames.shape[3:])

    def by_frame(x):
      # [B, V, U (P + 1), ..] -> [B, V U, P + 1, ..]
      return x.reshape(batch, units * count, -1, *x.shape[3:])

    features = clip.Clip(config, name="tower")(
      flat, jax.tree.map(by_frame, context)
    )
    if tower.projector == "qformer":
      return projectors.QueryProjector(config, tower, name="projector")(
        features, None, context.deterministic
      )
    # [B, V U, P, E] -> [B, V, U, P, E]
    features = features.reshape(batch, units, count, *features.shape[2:])
    if tower.projector == "stc":
      return stc.ConvolutionProjector(
        config, tower.stage_blocks, name="projector"
      )(features)
    return projectors.PooledProjector(config, name="projector")(features)


class AudioEncoder(nn.Module):
  """Segments of filter banks to tokens of the decoder's width."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    units: at.Float[at.Array, "B C Y M"],
    lengths: at.Int[at.Array, "B C"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B C X D"]:
    """X = unit_tokens tokens a segment; of an unused one they are rubbish.

    Args:
      units: normalised filter banks, 0 beyond their length.
      lengths: valid frames of each; 0: an unused segment.
      context: of the positions [B, C, P].
    """
    config, tower = self.config, configs.BeatsAudio.of(self.config.audio)
    index = jnp.arange(tower.unit_positions)[None, None]
    valid = index < tower.positions_of(lengths)[..., None]
    features = beats.Beats(config, name="tower")(units, valid, context)
    return projectors.QueryProjector(config, tower, name="projector")(
      features, valid, context.deterministic
    )

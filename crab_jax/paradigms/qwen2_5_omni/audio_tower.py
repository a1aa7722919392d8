"""The audio tower: independent chunks of mel frames, in static shapes.

A chunk is up to 200 mel frames (2 s). Convolutions, positions and attention
stay inside it, and a short chunk behaves as if it were zero-padded after the
first convolution. `Model.audio.pool` positions make one token.
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models import axes
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import products
from crab_jax.models import scanning
from crab_jax.models import token_context

RESIDUAL = ("batch", "chunks", "positions", None)


def sinusoids(length: int, width: int) -> np.ndarray:
  """Position table float32[length, width]: sines, then cosines."""
  half = width // 2
  # Whisper's table: by half - 1 the last frequency is 1 / 10,000 itself.
  turns = np.exp(-np.log(10_000) / (half - 1) * np.arange(half))
  angles = np.arange(length)[:, None] * turns[None]
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


class Conv(nn.Module):
  """A convolution of three taps, zero padding 1, stride 1 or 2, and a bias.

  Kernel [3, in, out].
  """

  features: int
  config: configs.Model
  names: tuple[str, str]
  stride: int = 1

  @nn.compact
  def __call__(
    self, x: at.Float[at.Array, "B C P I"]
  ) -> at.Float[at.Array, "B C Z O"]:
    dtype = self.config.compute_dtype
    inputs = x.shape[-1]
    kernel = self.param(
      "kernel",
      axes.named(layers.KERNEL, "window", *self.names),
      (3, inputs, self.features),
      self.config.param_dtype,
    )
    init = axes.named(layers.ZEROS, self.names[1])
    shape = (self.features,)
    bias = self.param("bias", init, shape, self.config.param_dtype)
    kernel = axes.in_use(kernel.astype(dtype), "window", *self.names)
    kernel = kernel.reshape(3 * inputs, self.features)  # as `taps`: tap, input
    # One product over the taps side by side: XLA's convolutions are slow on CPU
    # and are the same product on TPU.
    y = products.project(taps(x.astype(dtype), self.stride), kernel)
    return layers.add_bias(y, bias)


def taps(
  x: at.Float[at.Array, "B C P I"], stride: int
) -> at.Float[at.Array, "B C Z J"]:
  """What each output of the convolution sees: J = 3 I, Z = P / stride."""
  if stride == 1:
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    size = x.shape[2]
    return jnp.concatenate([padded[:, :, i : size + i] for i in range(3)], -1)
  # Positions 2z-1, 2z, 2z+1: an even and an odd one lie side by side already.
  # [B, C, P, I] -> [B, C, P / 2, 2 I]
  pairs = x.reshape(*x.shape[:2], x.shape[2] // 2, 2 * x.shape[3])
  odd = pairs[..., x.shape[3] :]
  before = jnp.pad(odd, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
  return jnp.concatenate([before, pairs], axis=-1)


class AudioAttention(nn.Module):
  """Bidirectional attention inside the valid positions of a chunk."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B C P D"],
    valid: at.Int[at.Array, "B C P"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B C P D"]:
    config, tower = self.config, configs.AudioTower.of(self.config.audio)
    adapter = config.tower_adapter
    context = ilora.share_dropped(self, x, adapter, context)

    def heads(name, use_bias=True):
      y = layers.Linear(
        tower.width,
        config,
        ("tower_embed", "tower_heads"),
        use_bias=use_bias,
        adapter=adapter,
        name=name,
      )(x, context)
      return y.reshape(*x.shape[:3], tower.heads, -1)

    out = attention.attend(
      heads("q_proj"),
      # As in Whisper: a bias of keys adds the same to all scores of a query,
      # and the softmax takes it away.
      heads("k_proj", use_bias=False),
      heads("v_proj"),
      query_segments=valid,
      key_segments=valid,
    )
    names = ("tower_heads", "tower_embed")
    return layers.Linear(tower.width, config, names, name="out_proj")(
      out.reshape(x.shape)
    )


class AudioLayer(nn.Module):
  """A pre-norm encoder layer."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    x: at.Float[at.Array, "B C P D"],
    valid: at.Int[at.Array, "B C P"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> tuple[at.Float[at.Array, "B C P D"], None]:
    config, tower = self.config, configs.AudioTower.of(self.config.audio)
    y = layers.LayerNorm(config, name="self_attn_layer_norm")(x)
    y = AudioAttention(config, name="self_attn")(y, valid, context)
    x = axes.constrain(x + y, *RESIDUAL)
    y = layers.LayerNorm(config, name="final_layer_norm")(x)
    names = ("tower_embed", "tower_mlp")
    y = layers.Linear(tower.mlp, config, names, name="fc1")(y)
    y = layers.gelu(y)
    y = layers.Linear(tower.width, config, names[::-1], name="fc2")(y)
    return axes.constrain(x + y, *RESIDUAL), None


class AudioTower(nn.Module):
  """Chunks of mel frames to tokens of the decoder's width."""

  config: configs.Model

  @nn.compact
  def __call__(
    self,
    mel: at.Float[at.Array, "B C Y M"],
    mel_lengths: at.Int[at.Array, "B C"],
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B C X O"]:
    """X = unit_tokens tokens a chunk, the first positions//pool are real.

    Args:
      mel: log-mel chunks, 0 beyond their length.
      mel_lengths: valid frames of each chunk; 0: an unused chunk.
      context: of the encoder positions [B, C, P].
    """
    config, tower = self.config, configs.AudioTower.of(self.config.audio)
    x = self._convolve(mel, mel_lengths)
    index = jnp.arange(tower.unit_positions)[None, None]
    valid = index < tower.positions_of(mel_lengths)[..., None]
    stack = scanning.stack(
      AudioLayer,
      config.tower_remat or config.remat,
      tower.layers,
      (nn.broadcast, nn.broadcast),
    )
    # As segments: valid positions see each other, and the others each other.
    x, _ = stack(config, name="layers")(x, valid.astype(jnp.int32), context)
    # [B, C, P, D] -> [B, C, X, pool, D]
    x = x.reshape(*x.shape[:2], tower.unit_tokens, tower.pool, tower.width)
    x = layers.LayerNorm(config, name="ln_post")(jnp.mean(x, axis=3))
    names = ("tower_mlp", "embed")
    return layers.Linear(config.decoder.width, config, names, name="proj")(x)

  def _convolve(self, mel, mel_lengths):
    """Mel chunks to encoder positions [B, C, P, D] with their sinusoids."""
    config, tower = self.config, configs.AudioTower.of(self.config.audio)
    names = ("patch_inputs", "tower_embed")
    x = Conv(tower.width, config, names, name="conv1")(mel)
    frame = jnp.arange(tower.unit_frames)[None, None]
    # The reference sets to 0 what bias and neighbours put behind a chunk's end,
    # before the second convolution sees it.
    real = (frame < mel_lengths[..., None])[..., None]
    x = jnp.where(real, layers.gelu(x), 0)
    # Not "tower_embed" twice: two dimensions cannot claim one mesh axis.
    names = ("tower_mlp", "tower_embed")
    x = Conv(tower.width, config, names, stride=2, name="conv2")(x)
    table = sinusoids(tower.unit_positions, tower.width)
    x = layers.gelu(x) + table[None, None].astype(x.dtype)
    return axes.constrain(x, *RESIDUAL)

"""A whole AV-LLM family for the tests: linear encoders, positions of one axis.

Nothing of it looks like Qwen2.5-Omni: units of one frame that become three
tokens without a grid, loudness for a spectrogram, turns of other tokens.
"""

import dataclasses

import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax.data import encodings
from crab_jax.data import grammar
from crab_jax.data import positions
from crab_jax.models import layers
from crab_jax.models import token_context
from crab_jax.paradigms import front
from crab_jax.paradigms import network
from crab_jax.paradigms import stacks


@dataclasses.dataclass(frozen=True)
class Vision(configs.VisionUnits):
  """One frame, three tokens."""

  frame_size: int = 56
  unit_frames: int = 1
  unit_positions: int = 1
  unit_tokens: int = 3
  token_grid: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Audio(configs.AudioUnits):
  """Half a second, two tokens or none."""

  bins: int = 4
  unit_frames: int = 5
  unit_positions: int = 1
  unit_tokens: int = 2
  frame_rate: float = 10.0

  def positions_of(self, lengths):
    return (lengths > 0) * self.unit_positions

  def tokens_of(self, lengths):
    return (lengths > 0) * self.unit_tokens

  def unit_lengths(self, samples, pieces=1):
    whole, rest = divmod(samples // 1600, self.unit_frames)
    return [self.unit_frames] * whole + [rest] * (rest > 0)


def audio_units(wave, audio: Audio, pieces=1):
  """The loudness of the quarters of each frame of 1600 samples."""
  frames = np.abs(wave[: len(wave) // 1600 * 1600]).reshape(-1, 4, 400).mean(-1)
  lengths = np.array(audio.unit_lengths(len(wave)), np.int32)
  units = np.zeros((len(lengths), audio.unit_frames, audio.bins), np.float32)
  units.reshape(-1, audio.bins)[: len(frames)] = frames
  return units, lengths


def vision_units(frames, vision: Vision):
  """The frames as they are."""
  return np.stack(
    [encodings.decode_frame(data, vision.frame_size)[None] for data in frames]
  )


class VisionEncoder(nn.Module):
  """A product of the mean colour."""

  config: configs.Model

  @nn.compact
  def __call__(self, frames, context=token_context.EMPTY):
    tokens, width = self.config.vision.unit_tokens, self.config.decoder.width
    x = (frames / 255).mean((2, 3, 4)).astype(self.config.compute_dtype)
    names = ("patch_inputs", "embed")
    y = layers.Linear(tokens * width, self.config, names, name="proj")(x)
    return y.reshape(*y.shape[:2], tokens, width)


class AudioEncoder(nn.Module):
  """A product of all values of a unit."""

  config: configs.Model

  @nn.compact
  def __call__(self, frames, lengths, context=token_context.EMPTY):
    tokens, width = self.config.audio.unit_tokens, self.config.decoder.width
    x = frames.reshape(*frames.shape[:2], -1).astype(self.config.compute_dtype)
    names = ("patch_inputs", "embed")
    y = layers.Linear(tokens * width, self.config, names, name="proj")(x)
    return y.reshape(*y.shape[:2], tokens, width)


def encoders(model: configs.Model, rows: configs.Rows) -> stacks.Encoders:
  """Two products, which are first and last at once: counted as the last."""
  vision, audio, width = model.vision, model.audio, model.decoder.width
  seen = rows.frame_pairs * 3 * vision.unit_tokens * width
  inputs = audio.unit_frames * audio.bins
  heard = rows.chunks * inputs * audio.unit_tokens * width
  return stacks.Encoders((), 0.0, 2.0 * (seen + heard))


GRAMMAR = grammar.Grammar(
  special=("[pad]", "[ask]", "[say]", "[end]", "[see]", "[hear]"),
  pad="[pad]",
  end="[end]",
  placeholders={"image": "[see]", "video": "[see]", "audio": "[hear]"},
  boundaries=dict.fromkeys(("image", "video", "audio"), ("", "\n")),
  turns={
    "system": ("", "\n"),
    "user": ("[ask]", ""),
    "assistant": ("[say]", "[end]"),
  },
  answer=("[say]", ""),
)
FRONT = front.Front(
  name="linear",
  audio=Audio,
  audio_units=audio_units,
  vision_units=vision_units,
  grammar=GRAMMAR,
  positions=positions.position_ids,
)
NETWORK = network.Network(
  vision=VisionEncoder,
  audio=AudioEncoder,
  vision_path="seer",
  audio_path="hearer",
  groups=(("seer", "projectors"), ("hearer", "projectors")),
  labels={"seer": "vision encoder", "hearer": "audio encoder"},
  encoders=encoders,
)

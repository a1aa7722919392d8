"""The shapes of prompts that a server compiles for.

One program reads one shape. A prompt is padded to the smallest that holds it.
"""

import dataclasses

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import samples

# Frames and seconds of sound of the tasks' usual clips: a picture with a
# second or five, an emotion's four frames, ten seconds at a frame a second,
# AVQA's twenty seconds, and two clips one after the other.
USUAL = ((1, 1), (1, 5), (4, 4), (10, 10), (10, 20), (20, 10))


def of(model: configs.Model, settings: configs.Slots) -> list[samples.Lengths]:
  """The shapes, the cheapest first; the last holds every prompt.

  Args:
    model: the sizes of units.
    settings: the longest prompt, and what text a usual one has.
  """
  most = largest(model, settings)
  usual = {
    _shape(model, frames, seconds, settings.text_tokens)
    for frames, seconds in USUAL
  }
  found = [shape for shape in usual if fits(shape, most)]
  return [*sorted(found, key=cost), most]


def largest(model: configs.Model, settings: configs.Slots) -> samples.Lengths:
  """Room for a usual clip of frames and as much sound as the tokens allow."""
  frames = max(frames for frames, _ in USUAL)
  pairs = model.vision.units_of(frames)
  tokens = settings.prompt_tokens
  usual = model.vision.units_of(10) * model.vision.unit_tokens
  chunks = max(1, (tokens - usual) // model.audio.unit_tokens)
  return samples.Lengths(tokens, pairs, chunks)


def smallest(
  needed: samples.Lengths, shapes: list[samples.Lengths]
) -> samples.Lengths | None:
  """The cheapest shape that holds a prompt; None: none does."""
  return next((shape for shape in shapes if fits(needed, shape)), None)


def fits(needed: samples.Lengths, shape: samples.Lengths) -> bool:
  """Whether a shape has room for a prompt."""
  return all(
    getattr(needed, field.name) <= getattr(shape, field.name)
    for field in dataclasses.fields(samples.Lengths)
  )


def cost(shape: samples.Lengths) -> tuple[int, int]:
  """What the shape costs, for an order."""
  return shape.tokens, shape.pairs + shape.chunks


def _shape(model, frames, seconds, text) -> samples.Lengths:
  pairs = model.vision.units_of(frames)
  lengths = model.audio.unit_lengths(seconds * configs.SAMPLE_RATE)
  heard = sum(map(model.audio.tokens_of, lengths))
  rows = batch_lib.prompt_rows(
    1, pairs * model.vision.unit_tokens + heard + text, pairs, len(lengths)
  )
  return samples.Lengths(rows.tokens, rows.frame_pairs, rows.chunks)

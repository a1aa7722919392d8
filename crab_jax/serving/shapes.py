"""The shapes of prompts that a server compiles for.

One program reads one shape. A prompt is padded to the cheapest that holds it.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from crab_jax import array_types as at
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import encodings
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import windows

_MOST = 8  # each is compiled at the start
_STEP = 32  # tokens: questions of one task differ in a few words
_FRAMES, _SECONDS = 10, 20  # of the longest clip that tasks are asked about
_ASKED = {  # as long as those of the sets
  "question": "Which of the instruments that sound in the video is the louder?",
  "options": ["the guitar", "the drum", "the piano", "none of them"],
  "description": "the guitar to the left that is heard all the time",
}


def of(
  model: configs.Model,
  settings: configs.Slots,
  usual: Sequence[samples.Lengths] = (),
) -> list[samples.Lengths]:
  """The shapes, the cheapest first; the last holds every prompt.

  Args:
    model: the sizes of units.
    settings: the longest prompt, and how much text may stand beside a clip of
      usual length.
    usual: prompts that come often, of which similar ones share a shape.
  """
  most = largest(model, settings)
  # A task of one's own may look at more frames.
  pairs = max([most.pairs, *(prompt.pairs for prompt in usual)])
  most = dataclasses.replace(most, pairs=pairs)
  pairs = model.vision.units_of(_FRAMES)
  heard = model.audio.unit_lengths(_SECONDS * configs.SAMPLE_RATE)
  media = pairs * model.vision.unit_tokens + sum(
    map(model.audio.tokens_of, heard)
  )
  wordy = samples.Lengths(media + settings.text_tokens, pairs, len(heard))
  price = functools.partial(_price, model)
  found = {_shape(prompt) for prompt in (*usual, wordy)}
  found = {shape for shape in found if shape.fits(most)} - {most}
  while len(found) >= _MOST:
    # Those two share one that lose the least by it.
    one, other = min(
      itertools.combinations(sorted(found, key=price), 2),
      key=lambda two: 2 * price(_union(*two)) - sum(map(price, two)),
    )
    found = found - {one, other} | {_union(one, other)}
  return [*sorted(found, key=price), most]


def usual(maker: samples.SampleMaker) -> list[samples.Lengths]:
  """The prompts of all tasks.

  Each about clips as long as those of its set, with a question as long as
  theirs. Those for which the model has no room are left out.

  Args:
    maker: of the model's prompts.
  """
  found = []
  for task in maker.table.values():
    with contextlib.suppress(samples.SampleError):
      found.append(maker.prompt_lengths(_record(task)))
  return found


def largest(model: configs.Model, settings: configs.Slots) -> samples.Lengths:
  """Room for a usual clip of frames and as much sound as the tokens allow."""
  pairs = model.vision.units_of(2 * _FRAMES)
  tokens = settings.prompt_tokens
  seen = model.vision.units_of(_FRAMES) * model.vision.unit_tokens
  chunks = max(1, (tokens - seen) // model.audio.unit_tokens)
  return samples.Lengths(tokens, pairs, chunks)


def smallest(
  needed: samples.Lengths, shapes: list[samples.Lengths]
) -> samples.Lengths | None:
  """The cheapest shape that holds a prompt; None: none does."""
  return next((shape for shape in shapes if needed.fits(shape)), None)


def packed_lengths(sample: samples.Sample) -> samples.Lengths:
  """What a prompt takes of a row."""
  return samples.Lengths(
    len(sample["tokens"]), len(sample["frames"]), len(sample["mel_lengths"])
  )


def text_alone(config: configs.Model, tokens: int) -> samples.Sample:
  """A prompt of so many tokens, without media, for a program to be compiled."""
  rows = configs.Rows(
    rows=1, tokens=tokens, frame_pairs=1, chunks=1, supervised=1, samples=1
  )
  row = {
    name: np.asarray(v[0]) for name, v in batch_lib.empty(config, rows).items()
  }
  return {
    "tokens": row["tokens"],
    "labels": np.full(tokens, -100, np.int32),
    "positions": row["positions"],
    "kinds": np.full(tokens, at.TokenKind.TEXT, np.uint8),
    "frames": row["frames"][:0],
    "mel": row["mel"][:0],
    "mel_lengths": row["mel_lengths"][:0],
    "task": 0,
    "row": 0,
  }


def _price(model: configs.Model, shape: samples.Lengths) -> int:
  """What a pass over the shape costs, in tokens that the model computes."""
  seen = shape.pairs * model.vision.unit_tokens
  return shape.tokens + seen + shape.chunks * model.audio.unit_tokens


def _shape(prompt: samples.Lengths) -> samples.Lengths:
  """The smallest shape for a prompt and those that are little longer."""
  units = batch_lib.UNIT_BUCKETS
  return samples.Lengths(
    -(-prompt.tokens // _STEP) * _STEP,
    batch_lib.bucket(prompt.pairs, units),
    batch_lib.bucket(prompt.chunks, units),
  )


def _union(one: samples.Lengths, other: samples.Lengths) -> samples.Lengths:
  return samples.Lengths(
    *map(max, dataclasses.astuple(one), dataclasses.astuple(other))
  )


def _record(task: tasks.Task) -> records.Record:
  """Of silence: only the lengths of its media count."""
  seconds = windows.CLIP_SECONDS[task.window]
  clip = np.zeros(seconds * configs.SAMPLE_RATE, np.float32)
  heard = [windows.cut(task.window, clip)] * task.sounds
  return records.Record(
    id=task.name,
    task=task.name,
    split="test",
    row=0,
    status="ok",
    frames=[b""] * (task.frames * task.sights),
    frame_seconds=[0.0] * (task.frames * task.sights),
    audio=encodings.encode_audio(windows.merge(heard)),
    question={field: _ASKED[field] for field in task.question_keys("test")},
    target="",
    reference={},
    mask=b"",
    meta={},
  )

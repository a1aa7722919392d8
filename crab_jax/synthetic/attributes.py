"""The words of the world: what there is to see and to hear.

A word names the same perception in all 19 datasets, and sight and sound share
the instruments' names, so that what one dataset teaches helps the others.
Some combinations (an instrument, a mouth or a motion in a colour) occur on the test split only.
"""

import zlib

import numpy as np

from crab_jax.data import tasks

# An instrument has one silhouette (drawing.py) and one timbre (sounds.py).
INSTRUMENTS = ("drum", "horn", "guitar", "flute", "bell", "shaker")
COLOURS = ("red", "green", "blue", "yellow", "pink")
# The quarters of the frame, row by row: one word each, written after a name.
QUARTERS = ("northwest", "northeast", "southwest", "southeast")
# At rest; from left to right, up and down, or along the diagonal, and back.
MOTIONS = ("standing", "sliding", "jumping", "swinging")
MOUTHS = ("smile", "frown", "open mouth", "flat mouth")
NUMBERS = ("zero", "one", "two", "three")

SPLITS = tasks.SPLITS
# The share of test scenes that show a combination held out of training.
HELD_OUT_SHARE = 0.15


def generator(seed: int, stream: str, split: str) -> np.random.Generator:
  """The random numbers of one stream of one split.

  Streams are independent of each other: a dataset's content does not change
  when another dataset does.
  """
  return np.random.default_rng(
    [seed, zlib.crc32(stream.encode()), tasks.ALL_SPLITS.index(split)]
  )


def choose(rng: np.random.Generator, options):
  """One of the options, each as likely."""
  return options[int(rng.integers(len(options)))]


def shuffled(rng: np.random.Generator, options) -> list:
  """All the options in random order."""
  return [options[int(i)] for i in rng.permutation(len(options))]


def held_out_colour(instrument: str, colour: str) -> bool:
  """Whether an instrument in this colour is kept for the test split."""
  number = INSTRUMENTS.index(instrument)
  return COLOURS.index(colour) == (2 * number + 1) % len(COLOURS)


def held_out_mouth(mouth: str, colour: str) -> bool:
  """Whether a mouth in a face of this colour is kept for the test split."""
  return COLOURS.index(colour) == MOUTHS.index(mouth) + 1


def held_out_motion(motion: str, colour: str) -> bool:
  """Whether a dancer's motion in this colour is kept for the test split."""
  return COLOURS.index(colour) == (MOTIONS.index(motion) + 3) % len(COLOURS)


def wants_held_out(rng: np.random.Generator, split: str) -> bool:
  """Whether the next scene of the split shows a held-out combination."""
  return tasks.is_test(split) and rng.random() < HELD_OUT_SHARE


def colour_where(rng: np.random.Generator, held_out, wanted: bool) -> str:
  """A colour that `held_out(colour)` says `wanted` of."""
  return choose(rng, [c for c in COLOURS if held_out(c) == wanted])

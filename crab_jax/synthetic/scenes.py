"""Scenes: instruments in quarters of the frame, when they play, what is heard.

The ground truth of a clip or a picture. Coordinates are in the 224 x 224
frame of AV-UIE v2 whatever the size of the rendered frames; times are whole
seconds. `drawing` and `sounds` turn a scene into pixels and samples.

Sight and sound of a scene are independent statements: an instrument may move
as if it played in silence, and a sound may come from outside the frame.
"""

import dataclasses

import numpy as np

from crab_jax.synthetic import attributes

RESTING = 72  # side in clips, while it does not play
QUARTER = 112  # side of a quarter of the frame
# Sides of the instruments in still pictures.
STILL = {
  "drum": 84,
  "horn": 56,
  "guitar": 84,
  "flute": 56,
  "bell": 84,
  "shaker": 56,
}
DANCER = "dancer"
STEPS = 10  # of a motion in a clip: as many as a tower sees frames
_SWING = 20  # from the middle of a quarter to either end of a motion


@dataclasses.dataclass(frozen=True)
class Thing:
  """A visible instrument, or a dancer."""

  name: str  # of attributes.INSTRUMENTS, or DANCER
  colour: str
  quarter: str  # of attributes.QUARTERS
  side: int = RESTING  # of its bounding square
  spans: tuple[tuple[int, int], ...] = ()  # [start, end) while it plays
  motion: str = "standing"  # of attributes.MOTIONS; ten steps a clip
  spotlight: bool = False  # follows it

  @property
  def centre(self) -> tuple[int, int]:
    """x, y of its middle at rest."""
    row, column = divmod(attributes.QUARTERS.index(self.quarter), 2)
    return QUARTER // 2 + QUARTER * column, QUARTER // 2 + QUARTER * row

  def centre_at(self, step: int) -> tuple[int, int]:
    """x, y of its middle in a step of its motion."""
    x, y = self.centre
    swing = _SWING if step % 2 else -_SWING
    if self.motion in ("sliding", "swinging"):
      x += swing
    if self.motion in ("jumping", "swinging"):
      y += swing
    return x, y

  @property
  def box(self) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of a thing at rest; both corners are inside."""
    x, y = self.centre
    half = self.side // 2
    return x - half, y - half, x + half - 1, y + half - 1

  @property
  def points(self) -> tuple[tuple[int, int], ...]:
    """Three points on the thing, from top to bottom."""
    x, y = self.centre
    return (x, y - 7), (x, y), (x, y + 7)

  @property
  def held_out(self) -> bool:
    """Whether it is kept for the test split in its colour."""
    if self.name == DANCER:
      return attributes.held_out_motion(self.motion, self.colour)
    return attributes.held_out_colour(self.name, self.colour)


@dataclasses.dataclass(frozen=True)
class Sound:
  """An instrument that is heard in [start, end) seconds."""

  name: str
  start: int
  end: int


@dataclasses.dataclass(frozen=True)
class Scene:
  """What a clip shows and sounds like."""

  seconds: int
  things: tuple[Thing, ...]
  sounds: tuple[Sound, ...]
  seed: int  # of the background
  take: int  # of pitch and rhythm: the recording


@dataclasses.dataclass(frozen=True)
class Face:
  """A talking face: what the emotion sets show and sound like."""

  seconds: int
  mouth: str  # of attributes.MOUTHS
  voice: str  # of sounds.VOICES
  colour: str
  seed: int


def new_seed(rng: np.random.Generator) -> int:
  return int(rng.integers(2**31))


def scene(
  rng: np.random.Generator,
  seconds: int,
  things: tuple[Thing, ...],
  sounds: tuple[Sound, ...],
  take: int | None = None,
) -> Scene:
  """A scene with a background and, without a take, a recording of its own."""
  take = new_seed(rng) if take is None else take
  return Scene(seconds, things, sounds, new_seed(rng), take)


def solo_take(seed: int, split: str) -> int:
  """The take of all scenes of a split that one sound suffices for.

  Scenes of different datasets with the same instrument from the same second
  to the same second then share a recording, which saves half of the mp3
  files: encoding them is what takes longest.
  """
  return new_seed(attributes.generator(seed, "solo", split))


def arrange(
  rng: np.random.Generator,
  split: str,
  names: tuple[str, ...],
  held_out: bool | None = None,
) -> tuple[Thing, ...]:
  """Instruments of different colours in different quarters of the frame.

  Args:
    rng: source of all choices.
    split: held-out combinations appear only where it is "test".
    names: the instruments.
    held_out: whether some thing is a held-out combination; None: drawn.

  Returns:
    The things in the order of `attributes.COLOURS`: what a picture shows
    can be said in one order without knowing where it is.
  """
  if held_out is None:
    held_out = attributes.wants_held_out(rng, split)
  while True:
    order = attributes.shuffled(rng, names)
    quarters = attributes.shuffled(rng, attributes.QUARTERS)
    colours = rng.permutation(len(attributes.COLOURS))[: len(names)]
    things = tuple(
      Thing(name, attributes.COLOURS[colour], quarter)
      for name, colour, quarter in zip(
        order, sorted(colours), quarters, strict=False
      )
    )
    if any(thing.held_out for thing in things) == held_out:
      return things


def stills(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
  """The things as pictures show them: each instrument has its own size."""
  return tuple(dataclasses.replace(t, side=STILL[t.name]) for t in things)


def instruments(rng: np.random.Generator, count: int) -> tuple[str, ...]:
  """Different instruments in random order."""
  return tuple(attributes.shuffled(rng, attributes.INSTRUMENTS)[:count])


def others(rng: np.random.Generator, used) -> list[str]:
  """The instruments that are not in use, in random order."""
  rest = [name for name in attributes.INSTRUMENTS if name not in used]
  return attributes.shuffled(rng, rest)


def sight(things) -> list[str]:
  """What is known of the things from the frames alone, as features."""
  features = []
  for thing in things:
    features += [
      f"{thing.colour} {thing.name}",
      f"{thing.name} {thing.quarter}",
      f"{thing.colour} {thing.quarter}",
      f"side {thing.side} {thing.name}",
      thing.motion,
    ]
    features += [f"{thing.name} {s}-{e}" for s, e in thing.spans]
    features += [f"{thing.name} from {s}" for s, _ in thing.spans]
    features += [f"{thing.name} to {e}" for _, e in thing.spans]
  return features + [f"things {len(things)}"]


def hearing(sounds) -> list[str]:
  """What is known of the sounds from the audio alone, as features."""
  features = [f"sounds {len(sounds)}"]
  for number, sound in enumerate(sorted(sounds, key=lambda s: s.start)):
    features += [
      sound.name,
      f"{number} {sound.name}",
      f"{sound.name} {sound.start}-{sound.end}",
      f"{sound.name} from {sound.start}",
      f"{sound.name} to {sound.end}",
    ]
  return features

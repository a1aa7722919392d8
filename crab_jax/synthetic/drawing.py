"""From a scene to frames and masks.

Every silhouette fills its bounding square to all four edges, so the box of a
mask is the box of the thing. A thing that plays is larger, has a white rim
and beats with the frames. A thing rests in a quarter of the frame, and a motion
steps to the next position each second: a thing covers the patch grid in the
same way wherever it is.

The wall is grey, about the mean that the towers subtract from pixels, and the
details of the things are black and bold: measured on this tower, shapes are
then learned from a third of the pictures that dark walls take.

A clip has a timeline, as a player has: under each quarter a white mark that
moves from left to right. Without it a vision encoder that sees two frames at a
time does not know when an event begins.
"""

import dataclasses
import functools

import numpy as np

from crab_jax import configs
from crab_jax.synthetic import scenes

RGB = {
  "red": (235, 20, 20),
  "green": (15, 200, 35),
  "blue": (30, 50, 255),
  "yellow": (250, 225, 15),
  "pink": (255, 60, 215),
}
_RIM = 12  # width of the white rim of a playing thing, of 224
_BEAT = (96, 84)  # sides of a playing thing in turn, frame by frame
_TIMELINE = 8  # height of the timeline, of 224
_LIGHT = 40  # by which a quarter is brighter or darker, warmer or colder
_BLACK = (8, 8, 8)
_WHITE = (255, 255, 255)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
  """x and y in [-1, 1] of the pixels of a square, float[side, side]."""
  ramp = (2 * np.arange(side) + 1) / side - 1
  return np.meshgrid(ramp, ramp)


def _drum(x, y):
  return x**2 + y**2 <= 1, (abs(y) < 0.3) & (x**2 + y**2 < 0.8)


def _horn(x, y):
  return 2 * abs(y) <= 1 + x + 0.12, x > 0.35


def _guitar(x, y):
  body = x**2 + ((y - 0.4) / 0.6) ** 2 <= 1
  neck = (abs(x) < 0.25) & (y < 0.2)
  hole = x**2 + (y - 0.4) ** 2 < 0.16
  return body | neck, hole | (neck & (y < -0.6))


def _flute(x, y):
  return abs(x + y) < 0.42, (abs(x + y) < 0.2) & (abs(x - y) % 0.7 < 0.4)


def _bell(x, y):
  dome = abs(x) <= 0.15 + 0.7 * np.sqrt((y + 1) / 1.7)
  return (y > 0.62) | dome, y > 0.62


def _shaker(x, y):
  return abs(x) <= np.maximum(abs(y), 0.26), abs(y) > 0.66


def _dancer(x, y):
  head = x**2 + (y + 0.62) ** 2 <= 0.15
  arms = (abs(y + 0.05) < 0.16) & (abs(x) <= 1)
  trunk = (abs(x) < 0.24) & (abs(y) < 0.45)
  legs = (abs(abs(x) - 0.25 - 0.5 * (y - 0.3)) < 0.2) & (y > 0.3)
  eyes = (abs(abs(x) - 0.15) < 0.07) & (abs(y + 0.66) < 0.08)
  return head | arms | trunk | legs, eyes | (y > 0.1)


_SHAPES = {
  "drum": _drum,
  "horn": _horn,
  "guitar": _guitar,
  "flute": _flute,
  "bell": _bell,
  "shaker": _shaker,
  "dancer": _dancer,
}


@functools.cache
def silhouette(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
  """bool[side, side] twice: the thing, and the dark details inside it."""
  inside, detail = _SHAPES[name](*_grid(side))
  return inside, detail & inside


def background(rng: np.random.Generator, tint, size: int) -> np.ndarray:
  """uint8[size, size, 3]: a wall with mild noise."""
  noise = rng.normal(0, 4, (size, size, 1))
  return np.clip(np.asarray(tint) + noise, 0, 255).astype(np.uint8)


def _pixels(length: float, size: int) -> int:
  """A length of the 224 frame in pixels of a frame of this size."""
  return round(length * size / configs.COORDINATE_SIZE)


def _paste(frame, mask, centre, colour) -> None:
  """Colours the mask's pixels, its middle at the centre; clips at edges."""
  side, size = mask.shape[0], frame.shape[0]
  left, top = (c - side // 2 for c in centre)
  x1, y1 = max(left, 0), max(top, 0)
  x2, y2 = min(left + side, size), min(top + side, size)
  part = mask[y1 - top : y2 - top, x1 - left : x2 - left]
  frame[y1:y2, x1:x2][part] = colour


@dataclasses.dataclass(frozen=True)
class _Moment:
  """When a frame is: all that two equal frames share."""

  second: int = 0
  step: int = 0  # of the motions
  beat: int = 0  # of what plays, 0 or 1


@dataclasses.dataclass(frozen=True)
class _Pose:
  """A thing as it is in one frame; lengths in pixels of the frame."""

  name: str
  colour: str
  plays: bool
  spotlight: bool
  side: int
  rim: int
  centre: tuple[int, int]


def _pose(thing: scenes.Thing, moment: _Moment, size: int) -> _Pose:
  plays = any(start <= moment.second < end for start, end in thing.spans)
  side = _BEAT[moment.beat] if plays else thing.side
  x, y = thing.centre_at(moment.step)
  return _Pose(
    thing.name,
    thing.colour,
    plays,
    thing.spotlight,
    _pixels(side, size),
    _pixels(_RIM, size),
    (_pixels(x, size), _pixels(y, size)),
  )


def _draw(frame: np.ndarray, pose: _Pose) -> None:
  side = pose.side
  if pose.spotlight:
    spot, _ = silhouette("drum", side + pose.rim)
    _paste(frame, spot, pose.centre, _WHITE)
  if pose.plays:
    outer, _ = silhouette(pose.name, side)
    _paste(frame, outer, pose.centre, _WHITE)
    side -= pose.rim
  shape, detail = silhouette(pose.name, side)
  _paste(frame, shape, pose.centre, RGB[pose.colour])
  _paste(frame, detail, pose.centre, _BLACK)


def frames(scene: scenes.Scene, size: int, fps: int) -> np.ndarray:
  """uint8[seconds * fps, size, size, 3]: the frames of a clip."""
  rng = np.random.default_rng([scene.seed, 0])
  wall = _wall(rng, size)
  drawn = {}  # most frames of a second are equal
  video = []
  count = scene.seconds * fps
  for i in range(count):
    moment = _Moment(i // fps, i * scenes.STEPS // count, i % 2)
    key = moment.second, _poses(scene, moment, size)
    if key not in drawn:
      frame = drawn[key] = wall.copy()
      _mark(frame, moment.second, scene.seconds)
      for pose in key[1]:
        _draw(frame, pose)
    video.append(drawn[key])
  return np.stack(video)


def _wall(rng: np.random.Generator, size: int) -> np.ndarray:
  """A grey wall, lit from above and warm on its left.

  Its light says which quarter of the frame is seen: the rotary positions of a
  vision encoder are relative and do not. With a light of 24 instead of 40 fewer
  things were located correctly after as many steps.
  """
  wall = background(rng, rng.uniform(100, 130, 3), size).astype(np.int16)
  half = size // 2
  wall[:half] += _LIGHT
  wall[half:] -= _LIGHT
  for columns, sign in ((slice(half), 1), (slice(half, None), -1)):
    wall[:, columns, 0] += sign * _LIGHT
    wall[:, columns, 2] -= sign * _LIGHT
  return np.clip(wall, 0, 255).astype(np.uint8)


def _mark(frame: np.ndarray, second: int, seconds: int) -> None:
  """Draws the timeline under each quarter of the frame."""
  size = frame.shape[0]
  quarter, height = size // 2, _pixels(_TIMELINE, size)
  start, end = (quarter * s // seconds for s in (second, second + 1))
  for bottom in (quarter, size):
    for left in (0, quarter):
      line = frame[bottom - height : bottom, left : left + quarter]
      line[:, start:end] = _WHITE


def picture(scene: scenes.Scene, size: int) -> np.ndarray:
  """uint8[size, size, 3]: a still picture, its wall without a timeline."""
  rng = np.random.default_rng([scene.seed, 0])
  frame = _wall(rng, size)
  for pose in _poses(scene, _Moment(), size):
    _draw(frame, pose)
  return frame


def _poses(scene: scenes.Scene, moment: _Moment, size: int):
  return tuple(_pose(thing, moment, size) for thing in scene.things)


def mask(things, size: int) -> np.ndarray:
  """uint8[size, size]: 255 where one of the resting things is, else 0."""
  canvas = np.zeros((size, size, 1), np.uint8)
  for thing in things:
    shape, _ = silhouette(thing.name, _pixels(thing.side, size))
    middle = [_pixels(c, size) for c in thing.centre]
    _paste(canvas, shape, middle, 255)
  return canvas[..., 0]

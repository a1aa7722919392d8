"""From a scene to frames and masks.

Every silhouette fills its bounding square to all four edges, so the box of a
mask is the box of the thing. A thing that plays is larger, has a white rim
and beats with the frames. The nine places are whole steps of a quarter of the
frame apart: a thing looks the same to a patch grid at all of them.

The wall is grey, about the mean that the towers subtract from pixels, and the
details of the things are black and bold: measured on this tower, shapes are
then learned from a third of the pictures that dark walls take.

The wall of a clip is also a clock: its blue grows from second to second. A
tower that sees one frame at a time could not tell otherwise when an event
begins.
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
_BEAT = (112, 98)  # sides of a playing thing in turn, frame by frame
_CLOCK = (66, 156)  # blue of the wall in the first and the last second
_BLACK = (8, 8, 8)
_STEP = 56  # from the middle of the frame to the end of a motion


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
  return head | arms | trunk | legs, eyes


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


def centre(thing: scenes.Thing, share: float) -> tuple[float, float]:
  """x, y of a thing when this share of the clip has passed, of 224."""
  x, y = thing.centre
  angle = 2 * np.pi * thing.turns * share + thing.phase
  if thing.motion in ("sliding", "circling"):
    x = 112 + _STEP * np.cos(angle)
  if thing.motion in ("jumping", "circling"):
    y = 112 + _STEP * np.sin(angle)
  return x, y


@dataclasses.dataclass(frozen=True)
class _Pose:
  """A thing as it is in one frame; lengths in pixels of the frame."""

  name: str
  colour: str
  plays: bool
  side: int
  rim: int
  centre: tuple[int, int]


def _pose(thing: scenes.Thing, second: float, share: float, beat: int, size):
  """A thing at a time: its second, the share of the clip, the frame."""
  plays = any(start <= second < end for start, end in thing.spans)
  side = _BEAT[beat % 2] if plays else thing.side
  middle = tuple(_pixels(c, size) for c in centre(thing, share))
  return _Pose(
    thing.name,
    thing.colour,
    plays,
    _pixels(side, size),
    _pixels(_RIM, size),
    middle,
  )


def _draw(frame: np.ndarray, pose: _Pose) -> None:
  side = pose.side
  if pose.plays:
    outer, _ = silhouette(pose.name, side)
    _paste(frame, outer, pose.centre, (255, 255, 255))
    side -= pose.rim
  shape, detail = silhouette(pose.name, side)
  _paste(frame, shape, pose.centre, RGB[pose.colour])
  _paste(frame, detail, pose.centre, _BLACK)


def frames(scene: scenes.Scene, size: int, fps: int) -> np.ndarray:
  """uint8[seconds * fps, size, size, 3]: the frames of a clip."""
  rng = np.random.default_rng([scene.seed, 0])
  red, green = rng.uniform(100, 130, 2)
  blues = np.linspace(*_CLOCK, scene.seconds)
  walls = [background(rng, (red, green, blue), size) for blue in blues]
  drawn = {}  # most frames of a second look the same
  video = []
  for i in range(scene.seconds * fps):
    key = i // fps, _poses(scene, i, fps, size)
    if key not in drawn:
      frame = drawn[key] = walls[key[0]].copy()
      for pose in key[1]:
        _draw(frame, pose)
    video.append(drawn[key])
  return np.stack(video)


def picture(scene: scenes.Scene, size: int) -> np.ndarray:
  """uint8[size, size, 3]: a still picture, its wall without the clock."""
  rng = np.random.default_rng([scene.seed, 0])
  frame = background(rng, rng.uniform(100, 130, 3), size)
  for pose in _poses(scene, 0, 1, size):
    _draw(frame, pose)
  return frame


def _poses(scene: scenes.Scene, i: int, fps: int, size: int):
  """The poses of all things in frame i."""
  share = i / (scene.seconds * fps)
  return tuple(_pose(t, i / fps, share, i, size) for t in scene.things)


def mask(things, size: int) -> np.ndarray:
  """uint8[size, size]: 255 where one of the resting things is, else 0."""
  canvas = np.zeros((size, size, 1), np.uint8)
  for thing in things:
    shape, _ = silhouette(thing.name, _pixels(thing.side, size))
    middle = [_pixels(c, size) for c in thing.centre]
    _paste(canvas, shape, middle, 255)
  return canvas[..., 0]

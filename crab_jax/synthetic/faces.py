"""From a talking face to frames.

The mouth and the brows show the expression; the wall has any colour.
"""

import numpy as np

from crab_jax.synthetic import drawing
from crab_jax.synthetic import scenes

_WALL = (95, 135)  # the least and the most of each colour
_DARK = (12, 12, 16)


def _mouth(mouth: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """bool: the pixels of the mouth; x, y in [-1, 1] over the face."""
  wide = abs(x) < 0.62
  if mouth == "open mouth":
    return (x / 0.34) ** 2 + ((y - 0.45) / 0.38) ** 2 <= 1
  bend = {"smile": -1.0, "frown": 1.0, "flat mouth": 0.0}[mouth]
  curve = 0.42 + bend * 1.1 * (x**2 - 0.15)
  return wide & (abs(y - curve) < 0.14)


def _brows(mouth: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """bool: brows raised by an open mouth, slanted by a frown."""
  height = -0.74 if mouth == "open mouth" else -0.56
  slant = -0.45 if mouth == "frown" else 0.0
  line = height + slant * (abs(x) - 0.38)
  return (abs(abs(x) - 0.38) < 0.22) & (abs(y - line) < 0.05)


def frames(face: scenes.Face, size: int, fps: int) -> np.ndarray:
  """uint8[seconds * fps, size, size, 3]: the frames of a talking face."""
  rng = np.random.default_rng([face.seed, 0])
  wall = drawing.background(rng, rng.uniform(*_WALL, 3), size)
  radius = rng.uniform(0.40, 0.45) * size
  home = size * (0.5 + rng.uniform(-0.03, 0.03, 2))
  rows, columns = np.mgrid[0:size, 0:size] + 0.5
  count = face.seconds * fps
  video = np.repeat(wall[None], count, axis=0)
  for beat in range(2):  # the head nods while it speaks
    nod = size * 0.02 * beat
    x, y = (columns - home[0]) / radius, (rows - home[1] - nod) / radius
    video[beat::2, x**2 + y**2 <= 1] = drawing.RGB[face.colour]
    eyes = (abs(x) - 0.38) ** 2 + (y + 0.25) ** 2 <= 0.014
    dark = eyes | _brows(face.mouth, x, y) | _mouth(face.mouth, x, y)
    video[beat::2, dark] = _DARK
  return video

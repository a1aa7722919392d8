"""Resizing as torch does it, as products with constant matrices.

`jax.image.resize` has another cubic kernel (a = -0.5) and renormalises it at
the edges: up to 0.18 off on position embeddings of standard deviation 0.44.
"""

import functools

import numpy as np

_A = -0.75  # of torch's cubic kernel


@functools.cache
def cubic(before: int, after: int) -> np.ndarray:
  """float32[after, before]: torch's bicubic along one axis.

  Half-pixel centres, no antialiasing, taps beyond the edge read the edge.
  """
  centres = (np.arange(after) + 0.5) * before / after - 0.5
  first = np.floor(centres).astype(int)
  matrix = np.zeros((after, before))
  for tap in range(-1, 3):
    weight = _kernel(np.abs(centres - (first + tap)))
    source = np.clip(first + tap, 0, before - 1)
    # Several taps of a row may read the same edge, so they add up.
    np.add.at(matrix, (np.arange(after), source), weight)
  return matrix.astype(np.float32)


def _kernel(x: np.ndarray) -> np.ndarray:
  near = (_A + 2) * x**3 - (_A + 3) * x**2 + 1
  far = _A * x**3 - 5 * _A * x**2 + 8 * _A * x - 4 * _A
  return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

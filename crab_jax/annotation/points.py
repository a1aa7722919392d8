"""Three points that mark an object: of its mask, or of its box."""

import numpy as np
import scipy.ndimage

from crab_jax.evaluation.reading import coordinates

COUNT = 3


def of_mask(mask: np.ndarray) -> tuple[coordinates.Point, ...]:
  """The innermost pixel of a mask, then twice the one farthest from these.

  Args:
    mask: bool[224, 224], True on the object, not empty.

  Returns:
    (x, y) of three pixels of the mask; with fewer pixels some are the same.
  """
  # The border of the picture is an edge of the object too.
  depth = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
  ys, xs = np.nonzero(mask)
  first = int(np.argmax(depth[ys, xs]))
  chosen = [first]
  nearest = np.hypot(xs - xs[first], ys - ys[first])
  while len(chosen) < COUNT:
    farthest = int(np.argmax(nearest))
    chosen.append(farthest)
    nearest = np.minimum(
      nearest, np.hypot(xs - xs[farthest], ys - ys[farthest])
    )
  return tuple((int(xs[i]), int(ys[i])) for i in chosen)


def of_box(box: coordinates.Box) -> tuple[coordinates.Point, ...]:
  """The centre of a box, and a third and two thirds of its diagonal."""
  x1, y1, x2, y2 = box
  shares = (1 / 2, 1 / 3, 2 / 3)
  return tuple(
    (round(x1 + share * (x2 - x1)), round(y1 + share * (y2 - y1)))
    for share in shares
  )

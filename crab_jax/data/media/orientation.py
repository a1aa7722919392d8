"""How a coded frame is turned and mirrored to stand as players show it."""

import av.sidedata.sidedata
import av.video.frame
import numpy as np
from jaxtyping import UInt8

_MATRIX = av.sidedata.sidedata.Type.DISPLAYMATRIX
_ONE = 1 << 16  # the matrix is in 16.16 fixed point


def upright(
  image: UInt8[np.ndarray, "H W 3"], frame: av.video.frame.VideoFrame
) -> np.ndarray:
  """An image by the display matrix of its frame.

  Quarter turns and mirrors are exact; of another angle the nearest one is
  taken.

  Args:
    image: uint8[H, W, 3], as coded.
    frame: that it was made of.

  Returns:
    uint8[H, W, 3] or uint8[W, H, 3].
  """
  data = _matrix(frame)
  if data is None:
    return image
  return _apply(image, np.frombuffer(bytes(data), "=i4", 9).reshape(3, 3))


def is_turned(frame: av.video.frame.VideoFrame) -> bool:
  """Whether a frame has a display matrix."""
  return _matrix(frame) is not None


def _matrix(frame: av.video.frame.VideoFrame):
  # PyAV declares the keys as text; they are its types.
  return frame.side_data.get(_MATRIX)  # type: ignore[call-overload]


def _apply(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  """A point x, y of the image goes to x * row 0 + y * row 1 (ISO 14496-12)."""
  (a, b), (c, d) = matrix[:2, :2] / _ONE
  if abs(a) + abs(d) >= abs(b) + abs(c):
    right, down = a, d
  else:  # x and y change places
    image = image.transpose(1, 0, 2)
    right, down = c, b
  if right < 0:
    image = image[:, ::-1]
  if down < 0:
    image = image[::-1]
  return np.ascontiguousarray(image)

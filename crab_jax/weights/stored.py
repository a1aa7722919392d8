"""A parameter that lies on disk, as whoever rewrites it needs to read it."""

from typing import Protocol
from typing import runtime_checkable

import numpy as np

BLOCK_BYTES = 32 << 20  # of what is held at a time, where it can be cut


@runtime_checkable  # by the type checks of the tests
class Stored(Protocol):
  """A parameter on disk (`training.lazy_params.Leaf`)."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  @property
  def dtype(self) -> np.dtype: ...

  def read(self, *index: int | slice) -> np.ndarray:
    """The values at an index, all of them without one."""
    ...


def rows_a_block(shape: tuple[int, ...], itemsize: int) -> int:
  """How many rows of the first axis are one block."""
  row = int(np.prod(shape[1:], dtype=np.int64)) * itemsize
  return min(max(BLOCK_BYTES // max(row, 1), 1), shape[0])

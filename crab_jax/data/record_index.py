"""The index of a TFRecord file: where its records begin.

  {file}.index    int64, little-endian: where each record begins, and the size
                  of the file

A preparation writes one beside every file, so that a start reads one small
object a file and not twelve bytes a record: with many hosts and a bucket those
would be millions of requests. Files of earlier versions have none.
"""

from collections.abc import Sequence

import numpy as np

from crab_jax import errors
from crab_jax import files
from crab_jax.array_types import Int

_ENDING = ".index"
_TYPE = np.dtype("<i8")


def path_of(path: files.Path) -> files.Path:
  """The index of a TFRecord file."""
  return path.with_name(path.name + _ENDING)


def write(path: files.Path, begins: Sequence[int], size: int) -> None:
  """Writes the index of a TFRecord file that is complete.

  Args:
    path: the TFRecord file.
    begins: the byte at which each record begins.
    size: bytes of the file.
  """
  # With the size, by which a file that was replaced is known.
  values = np.array([*begins, size], _TYPE)
  files.write_bytes(path_of(path), values.tobytes())


def read(path: files.Path, size: int) -> Int[np.ndarray, "n"]:
  """int64[n]: where each record of a TFRecord file begins, then its size.

  Args:
    path: the TFRecord file.
    size: its bytes.

  Raises:
    UserError: the index is damaged, or of another file.
  """
  data = files.read_bytes(path_of(path))
  if not data or len(data) % _TYPE.itemsize:
    raise errors.UserError(
      f"{path_of(path)}: cut short: delete it, and the records are found without"
    )
  found = np.frombuffer(data, _TYPE).astype(np.int64)
  # Of a file without records it is a zero alone.
  if found[0] != 0 or found[-1] != size or (np.diff(found) <= 0).any():
    raise errors.UserError(
      f"{path} has {size} bytes, by its index {found[-1]}: delete both and"
      " prepare again"
    )
  return found

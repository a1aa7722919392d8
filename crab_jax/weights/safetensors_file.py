"""Shards of safetensors, written a tensor at a time.

The library writes a file from tensors that are all in memory. Its format is
eight bytes (the length of the header, little-endian), the header as JSON, and
the tensors behind each other; all that the header says is known before.
"""

import dataclasses
import json
import math
import struct
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import ml_dtypes
import numpy as np

from crab_jax import files
from crab_jax.weights import shards

SHARD_BYTES = 4 << 30  # of a file at most, unless one tensor is larger
_ALIGN = 8  # bytes: where the tensors begin
_DTYPES = {
  np.dtype(np.float32): "F32",
  np.dtype(np.float16): "F16",
  np.dtype(ml_dtypes.bfloat16): "BF16",
}


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A tensor that is read when it is written."""

  name: str
  shape: tuple[int, ...]
  dtype: np.dtype
  blocks: Callable[[], Iterator[np.ndarray]]  # rows of the first axis, in order

  @property
  def size(self) -> int:
    """Bytes."""
    return math.prod(self.shape) * self.dtype.itemsize


def write_folder(folder: files.Path, tensors: Sequence[Tensor]) -> int:
  """Writes shards and their index as transformers names them.

  Args:
    folder: is there.
    tensors: in the order of the shards.

  Returns:
    The number of shards.
  """
  parts = _split(tensors)
  if len(parts) == 1:
    _write(folder / shards.SINGLE, parts[0])
    return 1
  places = {}
  for number, part in enumerate(parts, 1):
    file = f"model-{number:05}-of-{len(parts):05}.safetensors"
    _write(folder / file, part)
    places.update({tensor.name: file for tensor in part})
  size = sum(tensor.size for tensor in tensors)
  index = {"metadata": {"total_size": size}, "weight_map": places}
  files.write_json(folder / shards.INDEX, index)
  return len(parts)


def _split(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
  """The tensors in order, as many a shard as fit."""
  parts: list[list[Tensor]] = [[]]
  used = 0
  for tensor in tensors:
    if parts[-1] and used + tensor.size > SHARD_BYTES:
      parts.append([])
      used = 0
    parts[-1].append(tensor)
    used += tensor.size
  return parts


def _write(path: files.Path, tensors: Sequence[Tensor]) -> None:
  # transformers reads no file that does not say whose tensors these are.
  fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
  end = 0
  for tensor in tensors:
    begin, end = end, end + tensor.size
    fields[tensor.name] = {
      "dtype": _DTYPES[tensor.dtype],
      "shape": tensor.shape,
      "data_offsets": [begin, end],
    }
  header = json.dumps(fields).encode()
  header += b" " * (-len(header) % _ALIGN)
  with files.writing(path) as file:
    file.write(struct.pack("<Q", len(header)) + header)
    for tensor in tensors:
      written = 0
      for block in tensor.blocks():
        data = np.ascontiguousarray(block, tensor.dtype).reshape(-1)
        file.write(data.view(np.uint8).data)
        written += data.nbytes
      if written != tensor.size:
        raise ValueError(
          f"{tensor.name} has {written} bytes, not {tensor.size}"
        )

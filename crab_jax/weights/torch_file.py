"""torch.save's file of named tensors, read and written without torch.

The file is a zip archive, uncompressed: `data.pkl`, the pickle of the dict
(see `torch_pickle`), and `data/N`, the bytes of the N-th tensor. Tensors are
views of the mapped file: none is in memory until it is used.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from crab_jax import errors
from crab_jax import files
from crab_jax.weights import torch_pickle

_ALIGN = 64  # bytes: where torch lets a tensor begin, so that it can be mapped
_LOCAL_HEADER = 30  # bytes of a member's header before its name
_PADDING_FIELD = b"FB"  # the extra field in which torch pads


def read(path: files.Path, inside: str | None = None) -> dict[str, np.ndarray]:
  """The tensors of `path` by name, as views of the file.

  Args:
    path: the file.
    inside: the name under which they lie in another dict, if they do.

  Raises:
    UserError: the file is damaged, or holds anything but a flat dict of
      bfloat16, float16 and float32 tensors.
  """
  return _read(
    path,
    lambda pickle, load: torch_pickle.follow(pickle, load, inside),
    "a flat dict of tensors",
  )


def read_tree(path: files.Path) -> dict[Any, Any]:
  """The dict that `path` holds: of tensors, plain values and such dicts.

  Raises:
    UserError: the file is damaged, or holds anything else.
  """
  kinds = "a dict of tensors and plain values"
  return _read(path, torch_pickle.follow_tree, kinds)


def _read(path: files.Path, follow: Callable, kinds: str) -> dict[Any, Any]:
  try:
    with zipfile.ZipFile(path) as archive:
      members = _Members(path, archive)
    return follow(bytes(members.get("data.pkl")), members.storage)
  except FileNotFoundError as error:
    raise errors.UserError(f"{path} is missing") from error
  except zipfile.BadZipFile as error:
    raise errors.UserError(
      f"{path} is damaged, or no file of torch.save in its zip format: {error}"
    ) from error
  except torch_pickle.Refused as error:
    raise errors.UserError(
      f"{path} was not loaded: {error}; it must be {kinds}"
    ) from error
  except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error


class _Members:
  """The members of the archive by name, without its top folder."""

  def __init__(self, path: files.Path, archive: zipfile.ZipFile):
    self._bytes = np.asarray(np.memmap(path, np.uint8, "r"))
    self._found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
      name = member.filename.partition("/")[2]
      if name in self._found:
        raise ValueError(f"{member.filename} is in it twice")
      self._found[name] = member
    if "byteorder" in self._found and bytes(self.get("byteorder")) != b"little":
      raise ValueError("its numbers are not little-endian")

  def storage(self, key: str, dtype: np.dtype, size: int) -> np.ndarray:
    """The elements of a storage, as a view."""
    found = self.get(f"data/{key}")
    if len(found) != size * dtype.itemsize:
      raise ValueError(
        f"data/{key} has {len(found)} bytes, not {size * dtype.itemsize}"
      )
    return found.view(dtype)

  def get(self, name: str) -> np.ndarray:
    """The bytes of a member, compared with their checksum."""
    member = self._found.get(name)
    if member is None:
      raise ValueError(f"{name} is missing")
    if member.compress_type != zipfile.ZIP_STORED:
      raise ValueError(f"{name} is compressed")
    start = member.header_offset
    header = bytes(self._bytes[start : start + _LOCAL_HEADER])
    if header[:4] != b"PK\3\4" or len(header) < _LOCAL_HEADER:
      raise ValueError(f"{name} is not where the directory says")
    start += _LOCAL_HEADER + sum(struct.unpack("<HH", header[-4:]))
    found = self._bytes[start : start + member.file_size]
    if zlib.crc32(found.data) != member.CRC:
      raise ValueError(f"{name} does not match its checksum")
    return found


def write(path: files.Path, tensors: dict[str, np.ndarray]) -> None:
  """Writes what `torch.load(path, weights_only=True)` reads as a dict.

  Args:
    path: replaced once the new file is complete.
    tensors: bfloat16, float16 or float32, in the order of the file; views are
      copied one at a time.

  Raises:
    UserError: the file cannot be written.
  """
  try:
    with files.writing(path) as file, zipfile.ZipFile(file, "w") as archive:
      for name, data in _contents(tensors):
        _add(archive, f"{path.stem}/{name}", data)
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error}") from error


def _contents(tensors: dict[str, np.ndarray]) -> Iterator[tuple[str, bytes]]:
  """Names and bytes of the members, in torch's order."""
  shapes = [(name, x.dtype, x.shape) for name, x in tensors.items()]
  yield "data.pkl", torch_pickle.make(shapes)
  yield "byteorder", b"little"
  for key, tensor in enumerate(tensors.values()):
    yield f"data/{key}", tensor.tobytes()
  yield "version", b"3\n"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
  member = zipfile.ZipInfo(
    name
  )  # with the earliest date: same input, same file
  assert archive.fp is not None  # it is open
  begin = archive.fp.tell() + _LOCAL_HEADER + len(name.encode()) + 4
  padding = -begin % _ALIGN
  member.extra = _PADDING_FIELD + struct.pack("<H", padding) + b"Z" * padding
  archive.writestr(member, data)

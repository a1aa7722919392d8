"""TFRecord files without TensorFlow: frames of bytes with two checksums.

A frame is: length uint64, masked crc32c of the length uint32, the bytes,
masked crc32c of the bytes uint32; all little-endian. TensorFlow, grain and
tensorflow_datasets read the same files.
"""

import os
import struct
from collections.abc import Iterable
from collections.abc import Iterator

import google_crc32c

from crab_jax import errors
from crab_jax import files

_MASK_DELTA = 0xA282EAD8  # of the format
_HEADER_BYTES = 12
_FOOTER_BYTES = 4
_REPAIR = "the file is damaged: delete it and prepare again"


def masked_crc(data: bytes) -> int:
  """The crc32c of `data`, rotated and shifted as TFRecords store it."""
  crc = google_crc32c.value(data)
  # The format masks it, as a checksum of data that holds checksums is weak.
  return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
  """`data` as one frame of a TFRecord file."""
  length = struct.pack("<Q", len(data))
  return b"".join(
    (
      length,
      struct.pack("<I", masked_crc(length)),
      data,
      struct.pack("<I", masked_crc(data)),
    )
  )


def write(path: str | os.PathLike, items: Iterable[bytes]) -> int:
  """Writes a TFRecord file in one piece: complete, or not there at all.

  Returns:
    The number of items written.
  """
  path = files.path(path)
  files.make_folder(path.parent)
  count = 0
  with files.writing(path) as file:
    for item in items:
      file.write(frame(item))
      count += 1
  return count


def read(path: str | os.PathLike) -> Iterator[bytes]:
  """The items of a TFRecord file, in order, each one's checksums verified.

  Raises:
    UserError: a frame is cut short or a checksum differs; the message names
      the file and the frame's offset in bytes.
  """
  offset = 0
  with files.reading(path) as file:
    while True:
      header = file.read(_HEADER_BYTES)
      if not header:
        return
      item = _body(file, header, path, offset)
      offset += _HEADER_BYTES + len(item) + _FOOTER_BYTES
      yield item


def _body(file, header: bytes, path: str | os.PathLike, offset: int) -> bytes:
  """The bytes of the frame whose header has been read from `file`."""
  if len(header) < _HEADER_BYTES:
    raise errors.UserError(f"{path}: cut short at byte {offset}; {_REPAIR}")
  length, length_crc = struct.unpack("<QI", header)
  if masked_crc(header[:8]) != length_crc:
    raise errors.UserError(
      f"{path}: wrong checksum of the length at byte {offset}; {_REPAIR}"
    )
  item = file.read(length)
  footer = file.read(_FOOTER_BYTES)
  if len(item) < length or len(footer) < _FOOTER_BYTES:
    raise errors.UserError(
      f"{path}: the record at byte {offset} is cut short; {_REPAIR}"
    )
  if struct.pack("<I", masked_crc(item)) != footer:
    raise errors.UserError(
      f"{path}: wrong checksum of the record at byte {offset}; {_REPAIR}"
    )
  return item

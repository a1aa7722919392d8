"""How a file shows at its end that the rest of it is missing.

Each function walks the units that its container is made of, packets, pages,
chunks or boxes, and says why the last one is not whole; None: it is.
"""

import os
import struct

_RIFF_UNKNOWN = 0x7FFFF000  # a RIFF size from here on means "streamed"
_TAIL = 1 << 17  # bytes: an Ogg page or a pack of MPEG has half of it at most
_OGG_LAST = 4  # flag of a page: the last of its stream
# Transport streams: as such, behind a time stamp, before a checksum.
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
_TS_SYNC = 0x47
_PACK, _PS_END = b"\0\0\1\xba", 0xB9
_BOXES = (b"moov", b"moof", b"mdat")


def cut(path: str | os.PathLike, name: str) -> str | None:
  """Why a file is not whole.

  Args:
    path: the file.
    name: FFmpeg's name of its format; of others nothing is known: None.
  """
  if name in ("wav", "avi"):
    return riff_cut(path)
  if name.startswith("mov,"):
    return mp4_cut(path)
  checks = {"ogg": ogg_cut, "mpegts": ts_cut, "mpeg": ps_cut}
  if name not in checks:
    return None
  with open(path, "rb") as file:
    size = os.path.getsize(path)
    head = file.read(1024)
    file.seek(max(0, size - _TAIL))
    return checks[name](head, file.read(), size)


def ogg_cut(head: bytes, tail: bytes, size: int) -> str | None:
  """Ogg (RFC 3533): the last page is whole, and marked as the last."""
  del head, size
  page = tail.rfind(b"OggS")
  if page >= 0 and len(tail) >= page + 27:
    lengths = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(lengths)
    if end <= len(tail) and tail[page + 5] & _OGG_LAST:
      return None
  return "its last page is not marked as the last"


def ts_cut(head: bytes, tail: bytes, size: int) -> str | None:
  """MPEG transport stream: packets of one size."""
  del tail
  for packet, offset in _TS_PACKETS:
    syncs = head[offset::packet]
    if syncs and set(syncs) == {_TS_SYNC}:
      rest = size % packet
      return f"its last packet has {rest} of {packet} bytes" if rest else None
  return None


def ps_cut(head: bytes, tail: bytes, size: int) -> str | None:
  """MPEG program stream: packs of packets that say their length."""
  del head, size
  place = tail.rfind(_PACK)
  if place < 0 or len(tail) < place + 14:
    return "its last pack is cut"
  is_second = tail[place + 4] >> 6 == 1  # MPEG-2, else MPEG-1
  place += 14 + (tail[place + 13] & 7) if is_second else 12
  while tail[place : place + 3] == b"\0\0\1" and len(tail) >= place + 6:
    if tail[place + 3] == _PS_END:
      return None
    place += 6 + int.from_bytes(tail[place + 4 : place + 6])
  rest = tail[place : place + 6]
  is_begun = 0 < len(rest) < 4 and b"\0\0\1\xff".startswith(rest[:3])
  return "its last packet is cut" if place > len(tail) or is_begun else None


def mp4_cut(path: str | os.PathLike) -> str | None:
  """MP4 and QuickTime: boxes that say their size."""
  end, place = os.path.getsize(path), 0
  with open(path, "rb") as file:
    while place + 8 <= end:
      file.seek(place)
      size, name, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
      size = large if size == 1 else size
      if name in _BOXES and place + size > end:
        return (
          f"its last box, {name.decode()}, has {end - place} of {size} bytes"
        )
      if size < 8:  # 0: to the end of the file
        return None
      place += size
  return None


def riff_cut(path: str | os.PathLike) -> str | None:
  """RIFF (WAV, AVI): chunks that say their size.

  Sizes of 0 and of about 2 and 4 GB stand for "unknown": the recorder was
  never closed, or wrote to a pipe.
  """
  end = os.path.getsize(path)
  with open(path, "rb") as file:
    riff, size, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if riff != b"RIFF":
      return None
    if kind == b"AVI " and 8 + size > end and size < _RIFF_UNKNOWN:
      return f"it has {end} of {8 + size} bytes"
    while kind == b"WAVE" and len(header := file.read(8)) == 8:
      name, size = struct.unpack("<4sI", header)
      if name == b"data":
        have = end - file.tell()
        is_cut = size < _RIFF_UNKNOWN and size > have
        return f"it has {have} of {size} bytes of samples" if is_cut else None
      file.seek(size + size % 2, os.SEEK_CUR)
  return None

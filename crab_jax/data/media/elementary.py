"""Frames of sound that carry their own header: MPEG audio, ADTS, AC-3.

Files of such frames have no length: a demuxer guesses one from the bit rate of
the first frames, and hands out the rest of a frame that was cut as if it were
whole. The header of each frame says how many bytes and samples it has.
"""

import struct
from typing import NamedTuple

LONGEST = 8  # bytes of a header

# kbit/s by index, of MPEG-1 layers I, II, III, then MPEG-2 layer I, II and III.
_KBITS = {
  (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
  (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
  (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
  (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
  (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
# kbit/s of AC-3 by half its frmsizecod (ATSC A/52, table 5.18).
_AC3_KBITS = (
  32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
  576, 640,
)  # fmt: skip
_AC3_RATES = (48_000, 44_100, 32_000)
_ADTS_RATES = (
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000,
  12_000, 11_025, 8000, 7350,
)  # fmt: skip
_BLOCKS = (1, 2, 3, 6)  # of 256 samples in a frame of E-AC-3
_VBRI = 36  # where the tag of Fraunhofer's encoder lies in its frame


class Frame(NamedTuple):
  """A frame of sound, by its header."""

  size: int  # bytes, header included
  samples: int  # of each channel
  rate: int  # Hz
  channels: int


def frame(codec: str, header: bytes) -> Frame | None:
  """What the header of a frame says; None: there is no header.

  Args:
    codec: FFmpeg's name of the codec; "mp3float" as well as "mp3".
    header: the first bytes of the frame.
  """
  try:
    if codec.startswith(("mp1", "mp2", "mp3")):
      return _mpeg(header)
    if codec == "aac":
      return _adts(header)
    if codec == "ac3":
      return _ac3(header)
    if codec == "eac3":
      return _eac3(header)
  except (IndexError, struct.error):  # reserved values, or too few bytes
    pass
  return None


def _mpeg(header: bytes) -> Frame | None:
  (word,) = struct.unpack_from(">I", header)
  version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
  if word >> 21 != 0x7FF or version == 1 or layer == 4:
    return None
  major = 1 if version == 3 else 2
  kbits = _KBITS[major, layer if major == 1 else min(layer, 2)]
  bits, padding = word >> 12 & 15, word >> 9 & 1
  if not 0 < bits < 15:  # 0: free format
    return None
  # MPEG-2 halves the rates of MPEG-1, MPEG-2.5 (version 0) quarters them.
  rate = _RATES[word >> 10 & 3] >> {3: 0, 2: 1, 0: 2}[version]
  samples = 384 if layer == 1 else 576 if (layer, major) == (3, 2) else 1152
  slot = 4 if layer == 1 else 1
  slots = samples // 8 // slot * kbits[bits - 1] * 1000 // rate + padding
  return Frame(slots * slot, samples, rate, 1 if word >> 6 & 3 == 3 else 2)


def _adts(header: bytes) -> Frame | None:
  word = int.from_bytes(header[:7])
  if len(header) < 7 or word >> 44 != 0xFFF:
    return None
  rate = _ADTS_RATES[word >> 34 & 15]
  samples = 1024 * (1 + (word & 3))
  return Frame(word >> 13 & 0x1FFF, samples, rate, word >> 30 & 7)


def _ac3(header: bytes) -> Frame | None:
  sync, _, code = struct.unpack_from(">HHB", header)
  if sync != 0x0B77:
    return None
  rate, kbits = _AC3_RATES[code >> 6], _AC3_KBITS[(code & 63) >> 1]
  # 1536 samples, in words of 16 bits; at 44.1 kHz odd codes have one more.
  words = kbits * 96_000 // rate + (code & 1 if rate == 44_100 else 0)
  return Frame(2 * words, 1536, rate, 0)


def _eac3(header: bytes) -> Frame | None:
  sync, size, code = struct.unpack_from(">HHB", header)
  if sync != 0x0B77:
    return None
  half = code >> 6 == 3  # of the rate that the next two bits name
  rate = _AC3_RATES[code >> 4 & 3] // 2 if half else _AC3_RATES[code >> 6]
  blocks = 6 if half else _BLOCKS[code >> 4 & 3]
  return Frame(2 * ((size & 0x7FF) + 1), 256 * blocks, rate, 0)


def xing_seconds(data: bytes) -> float | None:
  """Seconds that the tag in the first frame of an MP3 file declares.

  Args:
    data: the beginning of the file, behind an ID3 tag.

  Returns:
    None where no tag of Xing, LAME or Fraunhofer counts the frames.
  """
  first = frame("mp3", data)
  if first is None:
    return None
  mono = first.channels == 1
  side = (17 if mono else 32) if first.samples == 1152 else (9 if mono else 17)
  count = None
  if data[4 + side : 8 + side] in (b"Xing", b"Info"):
    flags, number = struct.unpack_from(">II", data, 8 + side)
    count = number if flags & 1 else None
  elif data[_VBRI : _VBRI + 4] == b"VBRI":
    (count,) = struct.unpack_from(">I", data, _VBRI + 14)
  return count and count * first.samples / first.rate

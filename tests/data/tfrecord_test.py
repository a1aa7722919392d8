import struct

import grain
import pytest

from crab_jax import errors
from crab_jax.data import tfrecord
from tests.data import clips

_ITEMS = [b"first", b"", b"third" * 100]


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "folder" / "x.tfrecord"
  assert tfrecord.write(path, _ITEMS) == 3
  return path


def test_the_mask_follows_the_format():
  # The check value of CRC-32C over the digits 1 to 9 is E3069283.
  rotated = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
  expected = (rotated + 0xA282EAD8) & 0xFFFFFFFF
  assert tfrecord.masked_crc(b"123456789") == expected


def test_items_come_back(path):
  assert list(tfrecord.read(path)) == _ITEMS


def test_grain_reads_the_same(path):
  assert list(grain.experimental.TFRecordIterDataset(str(path))) == _ITEMS


@pytest.mark.parametrize(
  ("offset", "named"),
  [
    (0, "length at byte 0"),  # the length itself
    (9, "length at byte 0"),  # its checksum
    (14, "record at byte 0"),  # the bytes
    (18, "record at byte 0"),  # their checksum
    (21, "length at byte 21"),  # the second frame
  ],
)
def test_a_flipped_byte_is_named(path, offset, named):
  clips.flip(path, offset)
  with pytest.raises(errors.UserError, match=named) as caught:
    list(tfrecord.read(path))
  assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [5, 12, 15, 20])
def test_a_file_cut_short_is_named(path, kept):
  path.write_bytes(path.read_bytes()[:kept])
  with pytest.raises(errors.UserError, match="cut short"):
    list(tfrecord.read(path))


def test_a_write_that_fails_leaves_nothing(tmp_path):
  def items():
    yield b"one"
    raise RuntimeError("stop")

  with pytest.raises(RuntimeError):
    tfrecord.write(tmp_path / "x.tfrecord", items())
  assert not list(tmp_path.iterdir())


def test_a_frame_is_length_checksum_bytes_checksum():
  frame = tfrecord.frame(b"ab")
  assert frame[:8] == struct.pack("<Q", 2)
  assert frame[12:14] == b"ab"
  assert len(frame) == 18

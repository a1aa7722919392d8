"""The ends of containers; `lengths_test` has real files of every kind."""

import pytest

from crab_jax.data.media import endings
from tests.data.media import files as media_files


@pytest.mark.parametrize(
  ("size", "is_cut"), [(0, False), (0xFFFFFFFF, False), (10**6, True)]
)
def test_riff_sizes_that_stand_for_unknown_are_no_cut(tmp_path, size, is_cut):
  path = tmp_path / "x.wav"
  media_files.write(path, 1.0, video=None, audio="pcm_s16le")
  data = bytearray(path.read_bytes())
  place = data.index(b"data") + 4
  data[place : place + 4] = size.to_bytes(4, "little")
  path.write_bytes(data)
  assert (endings.riff_cut(path) is not None) == is_cut


@pytest.mark.parametrize(("packet", "offset"), [(188, 0), (192, 4), (204, 0)])
def test_packets_of_a_transport_stream(packet, offset):
  one = (b"\0" * offset + b"\x47").ljust(packet, b"\0")
  data = one * 20
  assert endings.ts_cut(data[:1024], data, len(data)) is None
  for size in range(len(data) - packet + 1, len(data)):
    assert endings.ts_cut(data[:1024], data[:size], size)


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("x.mpg", {"video": "mpeg2video", "audio": "mp2", "fps": 25}),
    ("x.opus", {"video": None, "audio": "libopus", "rate": 48_000}),
    ("x.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("x.avi", {"audio": "libmp3lame"}),
  ],
)
def test_of_a_whole_file_every_shorter_one_is_cut(tmp_path, name, options):
  path = media_files.write(tmp_path / name, 1.0, **options)
  container = {"mpg": "mpeg", "opus": "ogg", "mp4": "mov,mp4", "avi": "avi"}
  kind = container[name[2:]]
  assert endings.cut(path, kind) is None
  data = path.read_bytes()
  sizes, passed = range(len(data) // 2, len(data) - 200, 97), 0
  for size in sizes:
    path.write_bytes(data[:size])
    passed += endings.cut(path, kind) is None
  # Between two packets or boxes nothing is seen.
  assert passed < 0.1 * len(sizes)

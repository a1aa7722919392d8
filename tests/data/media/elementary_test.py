"""Headers of frames, against packets that encoders wrote."""

import av
import pytest

from crab_jax.data.media import elementary
from tests.data.media import files as media_files


@pytest.mark.parametrize(
  ("codec", "decoder", "rate", "samples"),
  [
    ("libmp3lame", "mp3float", 44_100, 1152),
    ("libmp3lame", "mp3", 48_000, 1152),
    ("libmp3lame", "mp3", 22_050, 576),
    ("libmp3lame", "mp3", 8000, 576),
    ("mp2", "mp2", 32_000, 1152),
    ("mp2", "mp2", 16_000, 1152),
    ("ac3", "ac3", 44_100, 1536),
    ("ac3", "ac3", 48_000, 1536),
    ("eac3", "eac3", 32_000, 1536),
  ],
)
def test_a_header_says_the_size_of_its_frame(
  tmp_path, codec, decoder, rate, samples
):
  with av.open(str(tmp_path / "x.mkv"), "w") as container:
    wave = media_files.chirp(1.0, rate)
    packets = media_files.sound_packets(container, codec, wave, rate)
    for packet in packets:
      found = elementary.frame(decoder, bytes(packet)[:64])
      assert (found.size, found.samples, found.rate) == (
        packet.size,
        samples,
        rate,
      )


def test_the_header_of_an_adts_frame(tmp_path):
  path = media_files.write(tmp_path / "x.aac", 1.0, video=None, rate=22_050)
  with av.open(str(path)) as container:
    for packet in container.demux():
      if packet.size:
        found = elementary.frame("aac", bytes(packet)[:64])
        assert found == (packet.size, 1024, 22_050, 1)


@pytest.mark.parametrize("codec", ["mp3", "aac", "ac3", "eac3", "flac"])
@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff" * 64, b"\0" * 64])
def test_what_is_no_header_is_none(codec, data):
  assert elementary.frame(codec, data) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_the_tag_of_an_encoder_counts_the_frames(tmp_path, rate, channels):
  path = tmp_path / "x.mp3"
  with av.open(str(path), "w", options={"id3v2_version": "0"}) as container:
    wave = media_files.chirp(2.0, rate, channels)
    media_files.mux(
      container, media_files.sound_packets(container, "libmp3lame", wave, rate)
    )
  found = elementary.xing_seconds(path.read_bytes()[:256])
  assert found == pytest.approx(2.0, abs=0.1)


def test_the_tag_of_fraunhofer_counts_the_frames():
  header = b"\xff\xfb\x90\x00".ljust(36, b"\0")  # 128 kbit/s, 44.1 kHz, stereo
  tag = b"VBRI".ljust(14, b"\0") + (1000).to_bytes(4)
  seconds = 1000 * 1152 / 44_100
  assert elementary.xing_seconds(header + tag) == pytest.approx(seconds)
  assert elementary.xing_seconds(header.ljust(256, b"\0")) is None

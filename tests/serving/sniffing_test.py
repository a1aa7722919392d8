"""The kind of a file by its content."""

import pytest

from crab_jax.serving import sniffing


def test_media_are_known(media):
  kinds = {name: sniffing.kind(data[:600]) for name, data in media.items()}
  assert kinds == {
    "clip.mp4": "clip",
    "shown.mp4": "clip",
    "silent.mp4": "clip",
    "a.wav": "clip",
    "p.png": "image",
  }


@pytest.mark.parametrize(
  "head",
  [
    b"", b"G", b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0",
    b"%!PS-Adobe", b"<svg xmlns=", b"v=0\no=", b"PK\x03\x04", b"%PDF-1.7",
    b"RIFF\0\0\0\0WEBX", b"\0\0\0 ftypheic", b"<?xml version='1.0'?><MPD",
  ],
)  # fmt: skip
def test_what_names_other_files_is_none(head):
  assert sniffing.kind(head) is None


def test_a_transport_stream_has_a_sync_byte_a_packet():
  packet = b"\x47" + bytes(187)
  assert sniffing.kind(packet * 3 + b"\x47") == sniffing.CLIP
  assert sniffing.kind(b"\x47" + bytes(599)) is None

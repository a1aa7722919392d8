"""What kind of file some bytes begin: by content, never by name.

Only known containers are handed to a decoder. Playlists, scripts and documents
that FFmpeg or Pillow would open, and that name other files, are none of them.
"""

IMAGE, CLIP = "image", "clip"  # a clip has frames, or sound, or both
HEAD = 600  # bytes that are looked at

_IMAGES = (
  b"\xff\xd8\xff",  # JPEG
  b"\x89PNG\r\n\x1a\n",
  b"GIF87a",
  b"GIF89a",
  b"BM",
  b"II*\0",  # TIFF
  b"MM\0*",
)
_CLIPS = (
  b"\x1aE\xdf\xa3",  # Matroska, WebM
  b"OggS",
  b"fLaC",
  b"ID3",
  b"FLV\x01",
  b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
  b"\0\0\1\xba",  # MPEG program stream
  b".snd",
  b"riff",  # Wave64
  b"caff",
  b"#!AMR",
  b"\x0b\x77",  # AC-3
)
_RIFF = {b"WEBP": IMAGE, b"WAVE": CLIP, b"AVI ": CLIP}
_FORM = (b"AIFF", b"AIFC")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
_TS_PACKETS = ((188, 0), (192, 4))


def kind(head: bytes) -> str | None:
  """`IMAGE`, `CLIP`, or None: nothing that is opened here.

  Args:
    head: the first `HEAD` bytes of a file, or all of it.
  """
  if head.startswith(_IMAGES):
    return IMAGE
  if head[:4] in (b"RIFF", b"RIFX"):
    return _RIFF.get(head[8:12])
  if head[:4] == b"FORM":
    return CLIP if head[8:12] in _FORM else None
  if head[4:8] in _BOXES:
    return None if head[8:12] in _PICTURE_BRANDS else CLIP
  if head.startswith(_CLIPS) or _is_mpeg_audio(head) or _is_transport(head):
    return CLIP
  return None


def _is_mpeg_audio(head: bytes) -> bool:
  """A sync word of eleven bits; of ADTS twelve."""
  return len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0


def _is_transport(head: bytes) -> bool:
  """Packets of one size that each begin with a sync byte."""
  return any(
    len(head) > 2 * size + offset
    and all(head[offset + size * i] == 0x47 for i in range(3))
    for size, offset in _TS_PACKETS
  )

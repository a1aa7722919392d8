"""What a server accepts, holds and limits."""

import dataclasses

from crab_jax.configs import checked

_MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Serving(checked.Checked):
  """Limits of the HTTP server. Bytes are counted as they arrive."""

  body_bytes: int = 64 * _MEBIBYTE  # of a request, > 0
  body_seconds: float = 60.0  # in which a body must have arrived, > 0
  header_seconds: float = 10.0  # in which the headers must have, > 0
  form_parts: int = 8  # of a multipart form beside its options, > 0
  content_parts: int = 64  # of all messages, > 0
  videos: int = 2
  audios: int = 2
  images: int = 32
  text_characters: int = 8192  # of all texts of a request, > 0
  media_seconds: float = 180.0  # of a video or a sound, > 0
  media_width: int = 4096  # pixels; either way up
  media_height: int = 2304
  media_packets: int = 20_000  # that are read of a file, > 0
  image_pixels: int = 60_000_000  # of a picture, > 0
  media_workers: int = 1  # processes that open media, > 0
  media_memory: int = 1536 * _MEBIBYTE  # that opening a file may add, > 0
  media_processor_seconds: int = 60  # of one file, > 0
  media_wall_seconds: float = 60.0  # of one request's files, > 0
  queue: int = 64  # requests that wait or are answered, > 0
  queue_bytes: int = 1024 * _MEBIBYTE  # of their media, > 0
  request_seconds: float = 120.0  # from arrival to the last token, > 0
  drain_seconds: float = 25.0  # that running answers have at a stop, >= 0
  file_seconds: float = 3600.0  # that an uploaded file is kept, > 0
  file_bytes: int = 4096 * _MEBIBYTE  # of all uploaded files, > 0
  key_rpm: int = 600  # requests a minute of one key, > 0
  key_slots: int = 64  # requests of one key at a time, > 0
  wait_seconds: float = 10.0  # between two comments of a waiting stream, > 0
  media_hosts: tuple[str, ...] = ()  # names that media may be fetched from
  media_root: str | None = None  # folder that file:// may name; None: none
  origins: tuple[str, ...] = ()  # of pages that may call; (): only our own
  allow_system: bool = False  # whether a system message replaces ours
  benchmark: bool = False  # whether `ignore_eos` is honoured
  log_text: bool = False  # whether logs hold questions and answers

  def check(self) -> None:
    may_be_zero = {"videos", "audios", "images", "drain_seconds"}
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, bool) or not isinstance(value, int | float):
        continue
      if field.name in may_be_zero:
        checked.require(value >= 0, f"Serving.{field.name}={value} is negative")
      else:
        checked.require_positive(self, field.name)

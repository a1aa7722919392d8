"""What is known of a file before it is decoded: its kind, sizes and length.

Cheap, and inside of limits itself: packets are counted while they are read.
"""

import dataclasses

import av
from PIL import Image

from crab_jax import configs
from crab_jax import files
from crab_jax.data.media import streams
from crab_jax.serving import failures
from crab_jax.serving import sniffing


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known of a file before it is decoded."""

  has_video: bool
  has_audio: bool
  is_image: bool
  size: tuple[int, int]  # width, height


def look(path: files.Path, limits: configs.Serving) -> Facts:
  """What is known of a file before it is decoded.

  Raises:
    Failure: it is none that is opened here, damaged, or over a limit; its
      message goes on behind the name of the file.
  """
  with open(path, "rb") as file:
    kind = sniffing.kind(file.read(sniffing.HEAD))
  if kind is None:
    raise failures.Failure(
      415, "unsupported_media", "is no file of video, sound or picture"
    )
  if kind == sniffing.IMAGE:
    return _image_facts(path, limits)
  return _clip_facts(path, limits)


def _image_facts(path: files.Path, limits: configs.Serving) -> Facts:
  try:
    with Image.open(path) as image:
      width, height = image.size
  except Exception as error:  # Pillow raises many kinds
    raise failures.Failure(
      400, "bad_media", f"is no picture that can be read: {_said(error, path)}"
    ) from error
  if width * height > limits.image_pixels:
    failures.invalid(
      "media_too_large",
      f"has {width} x {height} pixels, over {limits.image_pixels}",
    )
  return Facts(False, False, True, (width, height))


def _clip_facts(path: files.Path, limits: configs.Serving) -> Facts:
  try:
    with streams.opened(path) as container:
      _check_sizes(container, limits)
      found = streams.spans(
        container, limits.media_packets, limits.media_seconds
      )
      _check_seconds(found, limits)
      video = streams.choose(container, "video", found)
      audio = streams.choose(container, "audio", found)
      size = (0, 0)
      if isinstance(video, av.VideoStream):
        size = (video.width, video.height)
      return Facts(video is not None, audio is not None, False, size)
  except streams.TooLongError as error:
    failures.invalid("media_too_long", f"is too long: {error}")
  except failures.Failure:
    raise
  except Exception as error:  # FFmpeg raises many kinds
    raise failures.Failure(
      400, "bad_media", f"cannot be read: {_said(error, path)}"
    ) from error


def _check_sizes(container, limits: configs.Serving) -> None:
  most = sorted((limits.media_width, limits.media_height))
  for stream in container.streams.video:
    # A stream without a decoder is not looked at any further.
    if stream.codec_context is None:
      continue
    size = sorted((stream.width, stream.height))
    if size[0] > most[0] or size[1] > most[1]:
      failures.invalid(
        "media_too_large",
        f"has frames of {stream.width} x {stream.height} pixels, over"
        f" {limits.media_width} x {limits.media_height}",
      )


def _check_seconds(
  found: dict[int, streams.Span], limits: configs.Serving
) -> None:
  """Also of files whose packets have no durations."""
  for span in found.values():
    if span.times and max(span.times) - min(span.times) > limits.media_seconds:
      failures.invalid(
        "media_too_long", f"is longer than {limits.media_seconds:g} s"
      )


def without_paths(text: str) -> str:
  """A reason that names no file of the server."""
  words = text.split(" ")
  return " ".join("the file" if "/" in word else word for word in words)


def _said(error: Exception, path: files.Path) -> str:
  text = str(error).replace(str(path), "the file")
  return without_paths(text) or type(error).__name__

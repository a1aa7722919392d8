"""Whether a stream is there to its end: what a file declares against demuxing.

A length in a header is believed only where the format writes it there for this
stream; where FFmpeg guesses one from a bit rate it is no length. Formats without
one are judged by how the file ends: a frame, a page or a packet that was cut.
"""

import os

import av

from crab_jax.data import statuses
from crab_jax.data.media import elementary
from crab_jax.data.media import endings
from crab_jax.data.media import streams
from crab_jax.data.media import timeline

# Seconds that a stream may end before its declared end. Priming and padding of
# encoders come to 0.05 s; of frames one interval is added, as the last frame's
# duration is often not written.
TOLERANCE = 0.1

# Formats whose header has no length: FFmpeg's duration is an estimate.
_ESTIMATED = {
  *timeline.UNTIMED, "flv", "h264", "hevc", "m4v", "matroska,webm", "mjpeg",
  "mpeg", "mpegts", "mpegvideo", "obu", "ogg", "vvc",
}  # fmt: skip
# Formats whose header has one end for all streams together.
_COMMON = {"matroska,webm", "flv"}
# Formats made of frames with headers: the last one may be cut.
_FRAMED = {"aac", "ac3", "eac3", "mp3", "mpeg", "mpegts"}


def require_whole(
  path: str | os.PathLike,
  container: streams.Container,
  stream: streams.Stream,
  found: dict[int, streams.Span],
) -> None:
  """Checks that a stream does not end before its time.

  Args:
    path: the file.
    container: the open file.
    stream: which of its streams.
    found: what `streams.spans` gave of it.

  Raises:
    RecordError: truncated.
  """
  span = found[stream.index]
  ends = declared_ends(path, container, stream, found)
  for declared, reached in ends:
    if declared - reached > TOLERANCE + _last_frame(stream, span):
      raise truncated(
        path, f"its {stream.type} ends at {reached:.2f} of {declared:.2f} s"
      )
  if why := _ending(path, container, stream, span, bool(ends)):
    raise truncated(path, why)


def truncated(path: str | os.PathLike, reason: str) -> statuses.RecordError:
  """The error of a file that ends before its time."""
  return statuses.RecordError(
    statuses.Status.TRUNCATED, f"{path} is truncated: {reason}"
  )


def _last_frame(stream: streams.Stream, span: streams.Span) -> float:
  return 1.5 * span.interval if stream.type == "video" else 0.0


def declared_ends(
  path: str | os.PathLike,
  container: streams.Container,
  stream: streams.Stream,
  found: dict[int, streams.Span],
) -> list[tuple[float, float]]:
  """Pairs of a declared end and the one that demuxing reached, in seconds."""
  span, name = found[stream.index], container.format.name
  pairs = []
  if name == "mp3":
    declared = _xing_seconds(path)
    pairs.append((declared, span.seconds))
  elif name not in _ESTIMATED and stream.duration is not None:
    base = float(stream.time_base or 0)
    start = base * (stream.start_time or 0)
    pairs.append((start + base * stream.duration, span.end))
  if name == "avi" and stream.type == "video" and stream.frames:
    # FFmpeg shortens the duration to the bytes that are there.
    pairs.append((stream.frames * span.interval, span.packets * span.interval))
  if name in _COMMON:
    tag = _clock_seconds(stream.metadata.get("DURATION", ""))
    pairs.append((tag, span.end))
    if container.duration:
      common = container.duration / av.time_base
      pairs.append((common, _reached(common, list(found.values()))))
  return [(declared, end) for declared, end in pairs if declared is not None]


def _reached(declared: float, spans: list[streams.Span]) -> float:
  """The latest end, in seconds, by the clock of a declared duration.

  Damage may feign a stream that begins behind the end of the file, which says
  nothing. Where all do, as in a part of a broadcast, their clock has an origin
  of its own.
  """
  held = [span for span in spans if span.packets]
  inside = [span for span in held if (span.start or 0.0) <= declared]
  latest = max((span.end for span in inside or held), default=0.0)
  if inside or not held:
    return latest
  return latest - min(span.start or 0.0 for span in held)


def _clock_seconds(text: str) -> float | None:
  """Seconds of "00:00:10.023000000"; None for anything else."""
  try:
    hours, minutes, seconds = text.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
  except ValueError:
    return None


def _xing_seconds(path: str | os.PathLike) -> float | None:
  """Seconds that the first frame of an MP3 file declares."""
  with open(path, "rb") as file:
    header = file.read(10)
    if header[:3] == b"ID3" and len(header) == 10:
      # The size of an ID3 tag has seven bits a byte.
      a, b, c, d = header[6:]
      file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
    else:
      file.seek(0)
    return elementary.xing_seconds(file.read(256))


def _ending(
  path: str | os.PathLike,
  container: streams.Container,
  stream: streams.Stream,
  span: streams.Span,
  declares: bool,
) -> str | None:
  """How a file shows that it was cut; None: it does not."""
  name = container.format.name
  if why := endings.cut(path, name):
    return why
  if name in _FRAMED and not declares:
    frame = elementary.frame(stream.codec_context.name, span.header)
    if frame is not None and span.size < frame.size:
      return f"its last frame has {span.size} of {frame.size} bytes"
    if frame is not None and _begins_another(path, span):
      return "its last frame has no whole header"
  # A WAV file of unknown size ends with such a packet, and is whole.
  if span.partial and name != "wav":
    return "its last packet is cut"
  return None


def _begins_another(path: str | os.PathLike, span: streams.Span) -> bool:
  """Whether a few bytes of a frame follow the last one.

  Demuxers leave out a frame whose header is not whole.
  """
  with open(path, "rb") as file:
    file.seek(max(0, os.path.getsize(path) - span.size - elementary.LONGEST))
    tail = file.read()
  place = tail.rfind(span.header)
  rest = tail[place + span.size :] if place >= 0 else b""
  return rest[:2] == span.header[: len(rest[:2])] != b""

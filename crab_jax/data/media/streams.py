"""Which streams a file has, and what demuxing finds of each.

FFmpeg's own durations may be estimates, so nothing here believes them: a file
is demuxed to its end, which costs about a hundredth of decoding it.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator
from typing import Any

import av
import av.container
import av.stream
import numpy as np

from crab_jax.data import statuses

Container = av.container.InputContainer
Stream = av.stream.Stream

_KINDS = ("video", "audio")
# Streams of pictures that accompany a sound or a film: covers, thumbnails.
_STILL = (
  av.stream.Disposition.attached_pic
  | av.stream.Disposition.timed_thumbnails
  | av.stream.Disposition.still_image
)
# A decoder allocates what a header says: 8K frames pass, no larger ones. Streams
# that FFmpeg meets behind the header (FLV) are opened without it, with 200 MB
# at most, as FFmpeg has a bound of its own.
MOST_PIXELS = {"max_pixels": str(8192 * 4320)}
# A playlist or a reference inside a file may name an address of the network.
_OPTIONS = {**MOST_PIXELS, "protocol_whitelist": "file"}
# Tags of old files are often in another encoding than UTF-8. PyAV raises at them
# unless told otherwise before 19, where the argument is gone and it never does.
_TAGS: dict[str, Any] = (
  {"metadata_errors": "replace"}
  if int(av.__version__.split(".")[0]) < 19
  else {}
)
_GAP = 0.1  # seconds, and two intervals, that a decoder may leave out
# FFmpeg makes the last packet of an Ogg file as long as the file's count of
# samples leaves for it; where that is below 0 it is 2**32 too large.
_SIGN = 1 << 31
_HEADER = 64  # bytes of the last packet that are kept: a frame header


@dataclasses.dataclass
class Span:
  """What demuxing found of one stream; the clock is the file's own.

  Attributes:
    packets: that hold data and are not to be discarded.
    times: presentation time of each that has one, in seconds, in file order.
    end: the latest end of a packet, in seconds; 0 without times.
    seconds: durations of all packets.
    header: the first bytes of the last packet, and `size` all of its bytes.
    partial: the demuxer found less of the last packet than it should have.
  """

  packets: int = 0
  times: list[float] = dataclasses.field(default_factory=list)
  end: float = 0.0
  seconds: float = 0.0
  header: bytes = b""
  size: int = 0
  partial: bool = False

  @property
  def start(self) -> float | None:
    """The earliest presentation time, in seconds; None without times."""
    return min(self.times, default=None)

  @property
  def interval(self) -> float:
    """The mean distance of two packets, in seconds."""
    if len(self.times) < 2:
      return 0.0
    return (max(self.times) - min(self.times)) / (len(self.times) - 1)


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Container]:
  """A media file opened by FFmpeg."""
  # An absolute path is never taken for a protocol or an option. Opening decodes
  # already.
  with av.open(os.path.abspath(path), options=_OPTIONS, **_TAGS) as container:
    yield container


class TooLongError(ValueError):
  """A file has more packets or seconds than are wanted."""


def spans(
  container: Container, packets: float = math.inf, seconds: float = math.inf
) -> dict[int, Span]:
  """Demuxes a container to its end: what each stream of frames or sound holds.

  Args:
    container: an open file.
    packets: of all streams together at most.
    seconds: of each stream at most.

  Raises:
    FFmpegError: the container is damaged.
    TooLongError: there is more than that.
  """
  wanted = [s for s in container.streams if s.type in _KINDS]
  found = {stream.index: Span() for stream in wanted}
  last: dict[int, av.Packet] = {}
  for count, packet in enumerate(container.demux(wanted)):
    if count >= packets:
      raise TooLongError(f"it has over {packets:g} packets")
    if packet.size and not packet.is_discard:
      span = found[packet.stream_index]
      _add(span, packet)
      last[packet.stream_index] = packet
      if span.seconds > seconds:
        raise TooLongError(f"it has over {seconds:g} s")
  for index, packet in last.items():
    span = found[index]
    span.header, span.size = bytes(packet)[:_HEADER], packet.size
    span.partial = packet.is_corrupt
  return found


def _add(span: Span, packet: av.Packet) -> None:
  span.packets += 1
  stamp = packet.dts if packet.pts is None else packet.pts
  if packet.time_base is None:
    return
  base = float(packet.time_base)
  ticks = packet.duration or 0
  if ticks >= _SIGN:
    ticks -= 2 * _SIGN
  duration = base * ticks
  span.seconds += duration
  if stamp is not None:
    time = base * stamp
    span.times.append(time)
    span.end = max(span.end, time + duration)


def choose(
  container: Container, kind: str, found: dict[int, Span]
) -> Stream | None:
  """The stream of a kind that FFmpeg and players take; None: there is none.

  One that is marked as default, then the largest picture or the most channels,
  then the first. Covers and thumbnails are no video: what is marked as such,
  and a single picture beside a stream of many.

  Args:
    container: an open file.
    kind: "video" or "audio".
    found: what `spans` gave of it.
  """
  streams = [
    stream
    for stream in container.streams
    if stream.type == kind
    and found[stream.index].packets
    and not stream.disposition & _STILL
  ]
  return max(
    streams, key=lambda s: _rank(s, found[s.index]), default=None
  )  # of equals the first


def _rank(stream: Stream, span: Span) -> tuple[bool, bool, bool, int]:
  moves = span.packets > 1  # damage may feign a stream of one packet
  default = bool(stream.disposition & av.stream.Disposition.default)
  if stream.codec_context is None:  # FFmpeg has no decoder for it
    return False, moves, default, 0
  if isinstance(stream, av.VideoStream):
    return True, moves, default, stream.width * stream.height
  assert isinstance(stream, av.AudioStream)
  return True, moves, default, stream.layout.nb_channels


def require(stream: Stream | None, kind: str) -> Stream:
  """A stream that can be decoded, by one thread.

  Raises:
    ValueError: there is none, or FFmpeg has no decoder for it.
  """
  if stream is None:
    raise ValueError(f"it has no {kind} stream")
  if stream.codec_context is None:
    raise ValueError(f"FFmpeg has no decoder for its {kind} stream")
  stream.codec_context.thread_count = 1  # the pool has a worker a core
  return stream


def require_all(span: Span, times: list[float]) -> None:
  """Checks that no second of the packets is without a decoded frame.

  Args:
    span: of the stream.
    times: seconds of the frames that were decoded.

  Raises:
    ValueError: the decoder left frames out without an error.
  """
  if not span.times or not times:
    return
  given = sorted(span.times)
  have = sorted([*times, given[0], given[-1]])
  lost = _holes(have, span.interval) - _holes(given, span.interval)
  if lost > _GAP + 2 * span.interval:
    raise ValueError(f"{lost:.2f} s of it do not decode")


def _holes(times: list[float], interval: float) -> float:
  """Seconds of all steps that are much longer than the interval."""
  steps = np.diff(times)
  return float(steps[steps > _GAP + 2 * interval].sum())


@contextlib.contextmanager
def failures(
  status: statuses.Status, path: str | os.PathLike
) -> Iterator[None]:
  """Turns whatever a reader of media raises into the status of a record.

  Readers of damaged files raise errors of every kind, MemoryError,
  RecursionError and errors of PyAV among them.

  Raises:
    RecordError: missing_file, or `status` with the path and the reason.
  """
  if not os.path.isfile(path):
    raise statuses.RecordError(
      statuses.Status.MISSING_FILE, f"{path} does not exist"
    )
  try:
    yield
  except statuses.RecordError:
    raise
  except Exception as error:
    reason = str(error) or type(error).__name__
    raise statuses.RecordError(
      status, f"{path} does not decode: {reason}"
    ) from error

"""The frames of a video as players show them, with their seconds."""

import fractions
from collections.abc import Iterator

import av

from crab_jax import files
from crab_jax.data.media import orientation
from crab_jax.data.media import streams

_RATE = 25  # frames a second where a file does not tell


def frames(
  path: files.Path, start: float = 0.0
) -> Iterator[tuple[float, av.VideoFrame]]:
  """Seconds after the first frame, and the frame, upright.

  Of several streams the one that players take; a cover is no video.

  Args:
    path: of a file that FFmpeg reads.
    start: seconds; the first frame that is given lies at it or before it, at
      the key frame from which decoding has to begin.

  Raises:
    FFmpegError, ValueError: it does not decode, or has no frames.
  """
  index, first, usual = _chosen(path)
  with streams.opened(path) as container:
    stream = streams.require(container.streams[index], "video")
    assert isinstance(stream, av.VideoStream)
    if start > 0 and first is not None:
      container.seek(int((first + start) * av.time_base))
    for count, frame in enumerate(container.decode(stream)):
      time = frame.time if frame.time is not None else float(count / usual)
      yield time - (first or 0.0), _upright(frame)


def rate(path: files.Path) -> fractions.Fraction:
  """Frames a second of a video, as its container says.

  Raises:
    FFmpegError, ValueError: it is damaged, or has no frames.
  """
  return _chosen(path)[2]


def _chosen(
  path: files.Path,
) -> tuple[int, float | None, fractions.Fraction]:
  """The index, the first time and the rate of the stream that is shown."""
  with streams.opened(path) as container:
    found = streams.spans(container)
    stream = streams.require(streams.choose(container, "video", found), "video")
    assert isinstance(stream, av.VideoStream)
    usual = fractions.Fraction(stream.average_rate or _RATE)
    start = found[stream.index].start
    return stream.index, start, usual.limit_denominator(1000)


def _upright(frame: av.VideoFrame) -> av.VideoFrame:
  if not orientation.is_turned(frame):
    return frame
  image = orientation.upright(frame.to_ndarray(format="rgb24"), frame)
  return av.VideoFrame.from_ndarray(image, format="rgb24")

"""Frames of a video, spread evenly over all that decode, with their times.

Follows the official preprocessing: frames at evenly spread indices of all that
decode, bicubic antialiased resize without keeping the aspect ratio. They stand
as players show them, which the official reader shares: turned by the display
matrix, of FFmpeg's choice of stream. Nothing is substituted: what does not
decode to its end raises `RecordError`; a video of too few frames repeats its
last one.
"""

import dataclasses
import os

import av
import av.video.reformatter
import numpy as np
from jaxtyping import Int
from jaxtyping import UInt8
from PIL import Image

from crab_jax.data import statuses
from crab_jax.data.media import lengths
from crab_jax.data.media import orientation
from crab_jax.data.media import streams

# Seconds: containers that store the order of decoding alone give a few frames.
_BACKWARDS = 1.0


@dataclasses.dataclass(frozen=True)
class Video:
  """What was taken of a video.

  Attributes:
    frames: n images uint8[size, size, 3].
    seconds: time of each, in seconds after the first frame of the clip.
    decodable: frames that the file really decodes to.
    duration: seconds, as the container says; the last frame's time if it
      does not say.
  """

  frames: list[np.ndarray]
  seconds: list[float]
  decodable: int
  duration: float


@dataclasses.dataclass
class _Decoded:
  """What one pass over a video gave.

  Attributes:
    images: index -> uint8[size, size, 3], of the frames that were asked for.
    times: seconds of every frame.
    duration: seconds, as the container says, or None.
  """

  images: dict[int, np.ndarray]
  times: list[float]
  duration: float | None


@dataclasses.dataclass(frozen=True)
class Cut:
  """The part of a clip that counts.

  Attributes:
    start, end: seconds after its first frame or sample; None: to its end.
  """

  start: float = 0.0
  end: float | None = None

  def indices(self, times: list[float], count: int, wanted: int) -> list[int]:
    """Which frames to take.

    Args:
      times: seconds of the frames, on any clock; [] where nobody knows.
      count: frames of the whole video.
      wanted: frames to take.

    Raises:
      ValueError: no frame lies inside of the cut.
    """
    if self == WHOLE or not times:
      return frame_indices(count, wanted).tolist() if count else []
    seconds = np.asarray(times) - times[0]
    end = np.inf if self.end is None else self.end
    inside = np.flatnonzero((seconds >= self.start) & (seconds < end))
    if not len(inside):
      raise ValueError(
        f"it has no frame from {self.start:g} to {end:g} s: it ends at"
        f" {seconds[-1]:.1f} s"
      )
    return inside[frame_indices(len(inside), wanted)].tolist()


WHOLE = Cut()


def frame_indices(decodable: int, wanted: int) -> Int[np.ndarray, "n"]:
  """round(linspace(0, N - 1, n)) in float32, ties to even; int64[n].

  Counts from both ends as torch.linspace does, so that ties agree with it.
  With fewer frames than wanted: all of them, then the last one again.
  """
  if decodable < wanted:
    return np.minimum(np.arange(wanted), decodable - 1)
  last = np.float32(decodable - 1)
  step = last / np.float32(max(wanted - 1, 1))
  place = np.arange(wanted, dtype=np.float32)
  from_end = last - step * (np.float32(wanted - 1) - place)
  points = np.where(place < wanted // 2, step * place, from_end)
  return np.rint(points if wanted > 1 else place).astype(np.int64)


def read_video(
  path: str | os.PathLike, wanted: int, size: int, cut: Cut = WHOLE
) -> Video:
  """Frames of a video, spread evenly over all that decode.

  Args:
    path: a file that FFmpeg reads.
    wanted: frames to take.
    size: height and width of the frames, in pixels.
    cut: the part of the video to spread them over.

  Raises:
    RecordError: missing_file, bad_video, truncated; also where the video has
      no frame inside of the cut.
  """
  with streams.failures(statuses.Status.BAD_VIDEO, path):
    index, span = _demux(path)
    guess = cut.indices(sorted(span.times), span.packets, wanted)
    found = _decode(path, index, guess, size)
    decodable = len(found.times)
    indices = cut.indices(found.times, decodable, wanted)
    # The container's count was a guess: a second pass takes the frames that the
    # true count asks for.
    if not set(indices) <= set(found.images):
      found = _decode(path, index, indices, size)
    streams.require_all(span, found.times)
    if np.diff(found.times).min(initial=0.0) < -_BACKWARDS:
      raise ValueError("its timestamps run backwards")
    first = found.times[0]
    return Video(
      [found.images[i] for i in indices],
      [found.times[i] - first for i in indices],
      decodable,
      found.duration or found.times[-1] - first,
    )


def _demux(path: str | os.PathLike) -> tuple[int, streams.Span]:
  """The index of the stream to decode, and what the container holds of it."""
  with streams.opened(path) as container:
    found = streams.spans(container)
    chosen = streams.choose(container, "video", found)
    stream = streams.require(chosen, "video")
    lengths.require_whole(path, container, stream, found)
    return stream.index, found[stream.index]


def _decode(
  path: str | os.PathLike, stream_index: int, indices: list[int], size: int
) -> _Decoded:
  """Decodes the whole video, keeping only the frames of some indices."""
  keep = set(indices)
  images: dict[int, np.ndarray] = {}
  times: list[float] = []
  reformatter = av.video.reformatter.VideoReformatter()
  with streams.opened(path) as container:
    stream = streams.require(container.streams[stream_index], "video")
    stream.codec_context.options = dict(streams.MOST_PIXELS)
    is_damaged = False
    for frame in container.decode(stream):
      assert isinstance(frame, av.VideoFrame)  # the stream is one of frames
      index, is_damaged = len(times), frame.is_corrupt
      if index in keep:
        if is_damaged:
          raise ValueError(f"frame {index} is damaged")
        rgb = reformatter.reformat(frame, format="rgb24", threads=1)
        upright = orientation.upright(rgb.to_ndarray(), frame)
        images[index] = resize(Image.fromarray(upright), size)
      times.append(_time(frame, index, stream))
    duration = container.duration
  if not times:
    raise ValueError("it has no frame")
  if is_damaged:
    raise lengths.truncated(path, "its last frame is damaged")
  return _Decoded(images, times, duration and duration / av.time_base)


def _time(frame: av.VideoFrame, index: int, stream: streams.Stream) -> float:
  """Seconds of a frame; by its index where the container stores no times."""
  if frame.time is not None:
    return frame.time
  if not stream.average_rate:
    raise ValueError("it has neither frame times nor a frame rate")
  return float(index / stream.average_rate)


def resize(image: Image.Image, size: int) -> UInt8[np.ndarray, "H W 3"]:
  """Bicubic with antialiasing; the aspect ratio is not kept."""
  resized = image.resize((size, size), Image.Resampling.BICUBIC)
  return np.asarray(resized)

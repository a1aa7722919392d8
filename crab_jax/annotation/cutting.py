"""Media encoded anew: parts of files, sound as FLAC, videos to be sent."""

import fractions
import io
import itertools
import math
from collections.abc import Iterable
from collections.abc import Iterator
from typing import IO

import av

from crab_jax import configs
from crab_jax import files
from crab_jax.annotation import showing
from crab_jax.annotation import truths
from crab_jax.data import encodings
from crab_jax.data import statuses
from crab_jax.data.media import sound

_SMALL_RATE = 8  # of what is sent


def sound_of(
  source: files.Path, path: files.Path, cut: tuple[float, float] | None
) -> None:
  """Writes the sound of a file, mono 16 kHz; second 0 is its first frame.

  Raises:
    Unbuildable: it does not decode, or has no sound there.
  """
  try:
    samples = sound.read_audio(source).samples
  except statuses.RecordError as error:
    raise truths.Unbuildable(str(error.status), error.reason) from error
  if cut is not None:
    begin, end = (round(second * configs.SAMPLE_RATE) for second in cut)
    samples = samples[begin:end]
  if not len(samples):
    raise truths.Unbuildable("no_sound", f"{source} has no sound there")
  files.write_bytes(path, encodings.encode_audio(samples))


def frames_of(
  source: files.Path, path: files.Path, cut: tuple[float, float]
) -> None:
  """Writes the frames from one second of a file to another, as mp4.

  MPEG-4 part 2: every build of FFmpeg has it, and one thread gives the same
  bytes on all machines.

  Raises:
    Unbuildable: it does not decode, or has no frames there.
  """
  try:
    with files.writing(path) as file:
      chosen = (
        frame for second, frame in _until(source, cut[1]) if second >= cut[0]
      )
      count = _encode(
        chosen, showing.rate(source), file, "mpeg4", {"qscale": "2"}
      )
      if not count:
        raise truths.Unbuildable(
          "bad_video", f"{source} has no frames in {cut[0]:g} to {cut[1]:g}"
        )
  except (av.FFmpegError, ValueError, IndexError) as error:
    raise truths.Unbuildable("bad_video", f"{source}: {error}") from error


def small(
  source: files.Path, side: int, cut: tuple[float, float] | None = None
) -> bytes:
  """A video without sound as a small mp4, for a request.

  Args:
    source: of the video.
    side: pixels of the longer side at most.
    cut: first and last second of it; None: all.

  Raises:
    Unbuildable: it does not decode, or has no frames there.
  """
  try:
    rate = min(showing.rate(source), fractions.Fraction(_SMALL_RATE))
    start, end = cut or (0.0, math.inf)
    shown = (
      (second - start, frame)
      for second, frame in _until(source, end)
      if second >= start
    )
    return film(_every(1 / rate, shown), rate, side)
  except (av.FFmpegError, ValueError, IndexError) as error:
    raise truths.Unbuildable("bad_video", f"{source}: {error}") from error


def film(
  frames: Iterable[av.VideoFrame],
  rate: fractions.Fraction,
  side: int | None = None,
) -> bytes:
  """Frames as the bytes of an mp4.

  H.264 where this FFmpeg has it: more endpoints decode it than MPEG-4 part 2.

  Args:
    frames: of one size.
    rate: of them a second.
    side: pixels of the longer side at most; None: any number.

  Raises:
    ValueError: there is no frame.
  """
  codec = "libx264" if "libx264" in av.codec.codecs_available else "mpeg4"
  buffer = io.BytesIO()
  if not _encode(frames, rate, buffer, codec, {}, side):
    raise ValueError("it has no frames")
  return buffer.getvalue()


def _until(
  source: files.Path, end: float
) -> Iterator[tuple[float, av.VideoFrame]]:
  return itertools.takewhile(lambda f: f[0] < end, showing.frames(source))


def _every(
  step: float | fractions.Fraction,
  shown: Iterator[tuple[float, av.VideoFrame]],
) -> Iterator[av.VideoFrame]:
  """For each step of so many seconds the first frame that is not before it."""
  count = 0
  for second, frame in shown:
    while second >= count * step - 1e-6:
      yield frame
      count += 1


def _encode(
  frames: Iterable[av.VideoFrame],
  rate: fractions.Fraction,
  file: IO[bytes],
  codec: str,
  options: dict[str, str],
  side: int | None = None,
) -> int:
  """How many frames were written to a file.

  Args:
    frames: of one size.
    rate: of them a second.
    file: to write.
    codec: its name in FFmpeg.
    options: of it.
    side: pixels of the longer side at most; None: any number.
  """
  count = 0
  with av.open(file, "w", format="mp4") as new:
    target = new.add_stream(codec, rate=rate, options=options)
    assert isinstance(target, av.VideoStream)
    target.pix_fmt = "yuv420p"
    target.codec_context.thread_count = 1
    for frame in frames:
      if not count:
        target.width, target.height = _even(frame.width, frame.height, side)
      picture = frame.reformat(target.width, target.height, "yuv420p")
      picture.pts, picture.time_base = count, 1 / rate
      new.mux(target.encode(picture))
      count += 1
    if count:
      new.mux(target.encode())
  return count


def _even(width: int, height: int, side: int | None) -> tuple[int, int]:
  """A size of even sides, which encoders want."""
  share = min(1.0, (side or math.inf) / max(width, height))
  wide, high = (max(int(n * share) // 2 * 2, 2) for n in (width, height))
  return wide, high

"""Parts of media files: frames encoded anew, sound as FLAC."""

import fractions

import av

from crab_jax import configs
from crab_jax import files
from crab_jax.annotation import truths
from crab_jax.data import encodings
from crab_jax.data import statuses
from crab_jax.data.media import sound
from crab_jax.data.media import streams

_RATE = 25  # frames a second where a file does not tell


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
    with streams.opened(source) as old, files.writing(path) as file:
      stream = old.streams.video[0]
      count = _encode(old, stream, file, cut)
      if not count:
        raise truths.Unbuildable(
          "bad_video", f"{source} has no frames in {cut[0]:g} to {cut[1]:g}"
        )
  except (av.FFmpegError, ValueError, IndexError) as error:
    raise truths.Unbuildable("bad_video", f"{source}: {error}") from error


def _encode(old, stream, file, cut: tuple[float, float]) -> int:
  """How many frames of a stream were written to a file."""
  rate = fractions.Fraction(stream.average_rate or _RATE).limit_denominator(
    1000
  )
  count, first = 0, None
  with av.open(file, "w", format="mp4") as new:
    target = new.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
    # The encoder wants even sides.
    target.width, target.height = stream.width // 2 * 2, stream.height // 2 * 2
    target.pix_fmt = "yuv420p"
    target.codec_context.thread_count = 1
    for frame in old.decode(stream):
      time = frame.time if frame.time is not None else count / rate
      first = time if first is None else first
      if time - first >= cut[1]:
        break
      if time - first < cut[0]:
        continue
      picture = frame.reformat(target.width, target.height, "yuv420p")
      picture.pts, picture.time_base = count, 1 / rate
      new.mux(target.encode(picture))
      count += 1
    if count:
      new.mux(target.encode())
  return count

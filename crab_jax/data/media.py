"""Media files to arrays: frames of a video, an image, a waveform, a mask.

Follows the official preprocessing: frames at evenly spread indices of all that
decode, bicubic antialiased resize without keeping the aspect ratio, mono audio
at 16 kHz resampled by soxr. Nothing is substituted: what does not decode to
its end raises `RecordError`; a video of too few frames repeats its last one.
"""

import dataclasses
import os
import struct

import av
import av.video.reformatter
import librosa
import numpy as np
import soundfile
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import Int
from jaxtyping import UInt8
from PIL import Image

from crab_jax import configs
from crab_jax.data import statuses

_UNKNOWN_SIZE = 0x7FFFF000  # a RIFF size from here on means "streamed"
_WHITE = (255, 255, 255)


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


def read_video(path: str | os.PathLike, wanted: int, size: int) -> Video:
  """Frames of a video, spread evenly over all that decode.

  Args:
    path: a file that FFmpeg reads.
    wanted: frames to take.
    size: height and width of the frames, in pixels.

  Raises:
    RecordError: missing_file, bad_video.
  """
  _require_file(path)
  try:
    declared = _count_packets(path)
    images, decodable, duration = _decode(path, declared, wanted, size)
    if decodable != declared:
      images, decodable, duration = _decode(path, decodable, wanted, size)
  except (av.FFmpegError, ValueError) as error:
    raise _bad_video(path, error) from error
  indices = frame_indices(decodable, wanted)
  frames, times = zip(*(images[i] for i in indices), strict=True)
  return Video(
    list(frames),
    [float(time - times[0]) for time in times],
    decodable,
    duration or float(times[-1] - times[0]),
  )


def _bad_video(path: str | os.PathLike, reason) -> statuses.RecordError:
  return statuses.RecordError(
    statuses.Status.BAD_VIDEO, f"{path} does not decode: {reason}"
  )


def _count_packets(path: str | os.PathLike) -> int:
  """Frames that the container holds, not decoded; the last packet flushes."""
  with av.open(os.path.abspath(path)) as container:
    if not container.streams.video:
      raise _bad_video(path, "it has no video stream")
    return sum(packet.size > 0 for packet in container.demux(video=0))


def _decode(path: str | os.PathLike, count: int, wanted: int, size: int):
  """Decodes the whole video, keeping only the frames that `count` asks for.

  Returns:
    index -> (uint8[size, size, 3], seconds), the number of frames that
    decoded, and the container's duration in seconds or None.
  """
  keep = set(frame_indices(count, wanted).tolist()) if count else set()
  images, decoded = {}, 0
  reformatter = av.video.reformatter.VideoReformatter()
  with av.open(os.path.abspath(path)) as container:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # the pool has a worker a core
    for frame in container.decode(stream):
      if decoded in keep:
        if frame.is_corrupt:
          raise _bad_video(path, f"frame {decoded} is damaged")
        rgb = reformatter.reformat(frame, format="rgb24", threads=1)
        image = _resize(Image.fromarray(rgb.to_ndarray()), size)
        images[decoded] = (image, _time(frame, decoded, stream, path))
      decoded += 1
    duration = container.duration
  if not decoded:
    raise _bad_video(path, "it has no frame")
  return images, decoded, duration and duration / av.time_base


def _time(frame, index: int, stream, path: str | os.PathLike) -> float:
  """Seconds of a frame; by its place where the container stores no times."""
  if frame.time is not None:
    return frame.time
  if not stream.average_rate:
    raise _bad_video(path, "it has neither frame times nor a frame rate")
  return float(index / stream.average_rate)


def _resize(image: Image.Image, size: int) -> UInt8[np.ndarray, "H W 3"]:
  """Bicubic with antialiasing; the aspect ratio is not kept."""
  resized = image.resize((size, size), Image.Resampling.BICUBIC)
  return np.asarray(resized)


def read_image(
  path: str | os.PathLike, size: int
) -> UInt8[np.ndarray, "H W 3"]:
  """An image as uint8[size, size, 3]; RGBA is pasted on white.

  Raises:
    RecordError: missing_file, bad_image.
  """
  _require_file(path)
  try:
    with Image.open(path) as image:
      if image.mode != "RGBA":
        return _resize(image.convert("RGB"), size)
      canvas = Image.new("RGB", image.size, _WHITE)
      canvas.paste(image, mask=image.getchannel("A"))
      return _resize(canvas, size)
  except Exception as error:  # Pillow's readers raise errors of many kinds
    raise _bad_image(path, error) from error


def read_mask(path: str | os.PathLike) -> Bool[np.ndarray, "H W"]:
  """Where a label image is not black: bool[224, 224], resized by nearest.

  Raises:
    RecordError: missing_file, bad_image.
  """
  _require_file(path)
  size = (configs.COORDINATE_SIZE, configs.COORDINATE_SIZE)
  try:
    with Image.open(path) as image:
      return np.asarray(image.convert("L").resize(size, 0)) > 0
  except Exception as error:  # as above
    raise _bad_image(path, error) from error


def _bad_image(path: str | os.PathLike, reason) -> statuses.RecordError:
  return statuses.RecordError(
    statuses.Status.BAD_IMAGE, f"{path} does not decode: {reason}"
  )


def read_audio(path: str | os.PathLike) -> Float[np.ndarray, "S"]:
  """The whole waveform of an audio file: float32[S], mono, 16 kHz.

  Channels are averaged before the rate is changed (soxr, high quality), as
  librosa.load does.

  Raises:
    RecordError: missing_file, bad_audio.
  """
  _require_file(path)
  _check_riff(path)
  try:
    audio, rate = _read_soundfile(path)
  except soundfile.LibsndfileError:  # no format of libsndfile: AAC, M4A ...
    audio, rate = _read_ffmpeg(path)
  mono = audio.mean(axis=1)
  if not len(mono) or not np.isfinite(mono).all():
    raise _bad_audio(path, "it is empty or not finite")
  if rate == configs.SAMPLE_RATE:
    return mono
  return librosa.resample(
    mono, orig_sr=rate, target_sr=configs.SAMPLE_RATE, res_type="soxr_hq"
  )


def _bad_audio(path: str | os.PathLike, reason) -> statuses.RecordError:
  return statuses.RecordError(
    statuses.Status.BAD_AUDIO, f"{path} does not decode: {reason}"
  )


def _read_soundfile(path: str | os.PathLike):
  """float32[S, channels] and the rate in Hz."""
  with soundfile.SoundFile(os.fspath(path)) as file:
    audio = file.read(dtype="float32", always_2d=True)
    # The length of an MP3 is an estimate.
    if file.format != "MP3" and len(audio) < file.frames:
      raise _bad_audio(path, f"{len(audio)} of {file.frames} samples")
    return audio, file.samplerate


def _read_ffmpeg(path: str | os.PathLike):
  """float32[S, channels] and the rate in Hz."""
  try:
    with av.open(os.path.abspath(path)) as container:
      if not container.streams.audio:
        raise _bad_audio(path, "it has no audio stream")
      stream = container.streams.audio[0]
      resampler = av.AudioResampler(format="fltp")
      frames = [
        piece.to_ndarray()
        for frame in (*container.decode(stream), None)  # None flushes
        for piece in resampler.resample(frame)
      ]
      rate = stream.rate
  except (av.FFmpegError, ValueError) as error:
    raise _bad_audio(path, error) from error
  if not frames:
    raise _bad_audio(path, "it has no samples")
  return np.concatenate(frames, axis=1).T, rate


def _check_riff(path: str | os.PathLike) -> None:
  """A WAV file must hold as many bytes as its header says.

  libsndfile reads a truncated file without a word.
  """
  with open(path, "rb") as file:
    riff, _, wave = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if riff != b"RIFF" or wave != b"WAVE":
      return
    end = os.fstat(file.fileno()).st_size
    while len(header := file.read(8)) == 8:
      name, size = struct.unpack("<4sI", header)
      if name == b"data" and size < _UNKNOWN_SIZE and file.tell() + size > end:
        have = end - file.tell()
        raise _bad_audio(path, f"truncated: {have} of {size} bytes of samples")
      if name == b"data":
        return
      file.seek(size + size % 2, os.SEEK_CUR)
  raise _bad_audio(path, "it has no samples")


def _require_file(path: str | os.PathLike) -> None:
  if not os.path.isfile(path):
    raise statuses.RecordError(
      statuses.Status.MISSING_FILE, f"{path} does not exist"
    )

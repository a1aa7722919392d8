"""The sound of a file, as a waveform that runs with its pictures.

Two readers: libsndfile, which the official reader uses, where what it decodes
is as long as what the file holds; FFmpeg for everything else. Sound is placed
by its timestamps: second 0 is the first frame of the video that it belongs to,
or its own first sample; what is missing before, and in holes, is silence.
The official reader puts all samples end to end.
"""

import dataclasses
import os

import av
import numpy as np
from jaxtyping import Float

from crab_jax import configs
from crab_jax.data import statuses
from crab_jax.data.media import endings
from crab_jax.data.media import lengths
from crab_jax.data.media import streams
from crab_jax.data.media import timeline
from crab_jax.data.media import waveform
from crab_jax.sound_files import soundfile

_ROUNDED = 0.1  # of the seconds of packets, by which all together may be off
_BLOCK = 32_768  # samples that libsndfile reads at a time


class _Forward(soundfile.SoundFile):
  """A file that is read from its beginning to its end.

  The library seeks behind every block; the MP3 decoder then misses the frames
  before, starts anew and complains on stderr.
  """

  def seekable(self) -> bool:
    return False


@dataclasses.dataclass(frozen=True)
class Sound:
  """What was taken of a file.

  Attributes:
    samples: float32[S], mono, 16 kHz.
    seconds: of sound that the file holds, silence between included.
    early: seconds of it before the first frame of the video: left out.
    silence: seconds of silence put where the file has no sound.
  """

  samples: np.ndarray
  seconds: float
  early: float = 0.0
  silence: float = 0.0

  @property
  def kept(self) -> float:
    """Seconds of the samples."""
    return len(self.samples) / configs.SAMPLE_RATE


@dataclasses.dataclass(frozen=True)
class _Plan:
  """What demuxing says of the sound of a file.

  Attributes:
    index: of the stream.
    origin: the time of the first frame of its video; None: it has no video.
    span: what there is to decode.
    timed: whether the format has timestamps.
    jumps: whether they may start anew.
    plain: whether the file is one sound of one rate, and nothing else.
  """

  index: int
  origin: float | None
  span: streams.Span
  timed: bool
  jumps: bool
  plain: bool


def read_audio(path: str | os.PathLike) -> Sound:
  """The whole sound of a file.

  Channels are averaged before the rate is changed (soxr, high quality), as
  librosa.load does.

  Raises:
    RecordError: missing_file, bad_audio, truncated.
  """
  with streams.failures(statuses.Status.BAD_AUDIO, path):
    if (sound := _counted(path)) is not None:
      return sound
    try:
      plan = _plan(path)
    except av.FFmpegError:
      # libsndfile reads a few formats that FFmpeg does not.
      sound = _by_libsndfile(path, None)
      if sound is None:
        raise
      return sound
    sound = _by_libsndfile(path, plan.span.seconds) if plan.plain else None
    return _by_ffmpeg(path, plan) if sound is None else sound


def _counted(path: str | os.PathLike) -> Sound | None:
  """A WAV or FLAC file whose header counts just the samples that it holds.

  Demuxing such a file would take longer than reading it. None: any other.
  """
  try:
    with soundfile.SoundFile(os.fspath(path)) as file:
      if file.format not in ("WAV", "WAVEX", "FLAC"):
        return None
      seconds = file.frames / file.samplerate
  except soundfile.LibsndfileError:
    return None
  if endings.riff_cut(path) is not None:
    return None  # demuxing says it
  return _by_libsndfile(path, seconds)


def _plan(path: str | os.PathLike) -> _Plan:
  """Demuxes a file and chooses the sound to decode.

  Raises:
    RecordError: truncated.
    FFmpegError, ValueError: there is nothing to decode.
  """
  with streams.opened(path) as container:
    found = streams.spans(container)
    chosen = streams.choose(container, "audio", found)
    stream = streams.require(chosen, "audio")
    lengths.require_whole(path, container, stream, found)
    video = streams.choose(container, "video", found)
    return _Plan(
      index=stream.index,
      origin=None if video is None else found[video.index].start,
      span=found[stream.index],
      timed=container.format.name not in timeline.UNTIMED,
      jumps=container.format.name in timeline.JUMPING,
      plain=len(found) == 1,
    )


def _by_libsndfile(
  path: str | os.PathLike, expected: float | None
) -> Sound | None:
  """The sound as libsndfile reads it.

  Args:
    path: the file.
    expected: seconds that it should have; None: FFmpeg does not know.

  Returns:
    None where libsndfile does not know the format, or gives another length.
  """
  wave = waveform.Waveform()
  try:
    with _Forward(os.fspath(path)) as file:
      rate = file.samplerate
      samples = _add_all(file, wave)
      if expected is None and samples < file.frames:
        raise lengths.truncated(path, f"{samples} of {file.frames} samples")
  except soundfile.LibsndfileError:
    return None
  seconds = samples / rate
  if not samples or (
    expected is not None and abs(seconds - expected) > lengths.TOLERANCE
  ):
    return None
  return Sound(wave.finish(), seconds)


def _add_all(file: soundfile.SoundFile, wave: waveform.Waveform) -> int:
  """Appends the sound of a file; returns how many samples it has."""
  samples = 0
  # A block at a time: the length in the header may be any number.
  while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
    samples += len(block)
    wave.add(block.mean(axis=1), file.samplerate)
  return samples


def _by_ffmpeg(path: str | os.PathLike, plan: _Plan) -> Sound:
  """The sound as FFmpeg decodes it, placed by its timestamps.

  Raises:
    ValueError: it does not decode to its end.
  """
  wave, line = waveform.Waveform(), timeline.Timeline(plan.origin, plan.jumps)
  times: list[float] = []
  with streams.opened(path) as container:
    stream = streams.require(container.streams[plan.index], "audio")
    for frame in container.decode(stream):
      assert isinstance(frame, av.AudioFrame)  # the stream is one of sound
      rate = frame.sample_rate
      if frame.time is not None:
        times.append(frame.time)
      time = frame.time if plan.timed else None
      gap, skipped = line.place(time, frame.samples, rate)
      wave.silence(gap, rate)
      wave.add(_mono(frame)[skipped:], rate)
  streams.require_all(plan.span, times)
  # Damaged tables give packets more time than they decode to. Durations are
  # rounded to the clock of the file, so a share is let pass; MP4 writes a hole
  # as the duration of the packet before it.
  filled = line.decoded + line.silence
  lost = plan.span.seconds - filled if plan.timed else 0.0
  if lost > lengths.TOLERANCE + _ROUNDED * plan.span.seconds:
    raise ValueError(f"{lost:.2f} s of it do not decode")
  return Sound(
    wave.finish(), line.decoded + line.silence, line.early, line.silence
  )


def _mono(frame: av.AudioFrame) -> Float[np.ndarray, "S"]:
  """The mean of the channels of a frame of any layout: float32[S] in -1..1."""
  data = frame.to_ndarray()
  if not frame.format.is_planar:
    data = data.reshape(-1, frame.layout.nb_channels).T
  return _floats(data).mean(axis=0)


def _floats(data: np.ndarray) -> np.ndarray:
  """Samples of any type as float32 in -1..1."""
  if data.dtype.kind == "f":
    return data.astype(np.float32, copy=False)
  bits = 8 * data.dtype.itemsize - 1
  # Unsigned samples have their silence in the middle.
  middle = 1 << bits if data.dtype.kind == "u" else 0
  return (data.astype(np.float32) - middle) / np.float32(1 << bits)

"""Small media files whose content says when it should be seen and heard."""

import pathlib
import struct

import av
import numpy as np
import pytest

from crab_jax.data import statuses

RATE = 16_000
FPS = 10


def fails(status, read, *args):
  """The reason of a RecordError of this status."""
  with pytest.raises(statuses.RecordError) as caught:
    read(*args)
  assert caught.value.status == status
  return caught.value.reason


def chirp(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
  """float32[channels, S]: at second t a tone of 500 + 300 t Hz."""
  t = np.arange(round(seconds * rate)) / rate
  wave = 0.4 * np.sin(2 * np.pi * (500 * t + 150 * t * t))
  return np.tile(wave.astype(np.float32), (channels, 1))


def second_heard(samples: np.ndarray, at: float) -> float | None:
  """Which second of `chirp` is heard at a second; None: silence."""
  middle, half = round(at * RATE), RATE // 10
  piece = samples[max(0, middle - half) : middle + half]
  if np.abs(piece).max() < 1e-3:
    return None
  size = 1 << 16
  spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), size))
  return (spectrum.argmax() * RATE / size - 500) / 300


def sound_packets(
  container, codec: str, wave: np.ndarray, rate: int
) -> list[av.Packet]:
  """Encodes float32[channels, S] as a new stream of a container."""
  layout = {1: "mono", 2: "stereo"}[len(wave)]
  stream = container.add_stream(codec, rate=rate, layout=layout)
  context = stream.codec_context
  resampler = av.AudioResampler(
    format=context.format, layout=layout, rate=rate,
    frame_size=context.frame_size or None,
  )  # fmt: skip
  whole = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
  whole.sample_rate, whole.pts = rate, 0
  pieces = [*resampler.resample(whole), *resampler.resample(None)]
  return [p for piece in (*pieces, None) for p in stream.encode(piece)]


def film_packets(
  container, codec: str, images: list[np.ndarray], fps: int = FPS
) -> list[av.Packet]:
  """Encodes images uint8[H, W, 3] as a new stream of a container."""
  stream = container.add_stream(codec, rate=fps)
  stream.height, stream.width = images[0].shape[:2]
  stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
  stream.codec_context.bit_rate = 4_000_000
  packets = []
  for index, image in enumerate(images):
    frame = av.VideoFrame.from_ndarray(image)
    frame.pts = index
    packets += stream.encode(frame)
  return [*packets, *stream.encode()]


def later(packets: list[av.Packet], seconds: float) -> list[av.Packet]:
  """Moves packets in time."""
  for packet in packets:
    ticks = round(seconds / packet.time_base)
    packet.pts += ticks
    packet.dts += ticks
  return packets


def without(packets: list, start: float, stop: float) -> list[av.Packet]:
  """Packets but those that begin between two seconds."""
  return [
    packet
    for packet in packets
    if not start <= packet.pts * packet.time_base < stop
  ]


def mux(container, *streams: list[av.Packet]) -> None:
  """Writes packets of several streams by their time."""
  every = [packet for packets in streams for packet in packets]
  every.sort(key=lambda packet: packet.dts * packet.time_base)
  for packet in every:
    container.mux(packet)


def greys(count: int, size: int = 32) -> list[np.ndarray]:
  """Images, each all one grey; neighbours differ by 3."""
  return [
    np.full((size, size, 3), 20 + 3 * (index % 70), np.uint8)
    for index in range(count)
  ]


def write(
  path: pathlib.Path,
  seconds: float = 3.0,
  video: str | None = "mpeg4",
  audio: str | None = "aac",
  rate: int = 44_100,
  fps: int = FPS,
  options: dict | None = None,
  later_sound: float = 0.0,
  later_film: float = 0.0,
  hole: tuple[float, float] = (0.0, 0.0),
) -> pathlib.Path:
  """A file of one film and its sound, or one of them.

  Args:
    path: its suffix says the container.
    seconds: of both.
    video: codec, or None.
    audio: codec, or None.
    rate: of the sound, in Hz.
    fps: frames a second.
    options: of the muxer.
    later_sound: seconds that the sound is moved by.
    later_film: seconds that the film is moved by.
    hole: seconds of the sound, before it is moved, that are not in the file.
  """
  with av.open(str(path), "w", options=options or {}) as container:
    film = sound = []
    if video:
      film = film_packets(container, video, greys(round(seconds * fps)), fps)
    if audio:
      sound = sound_packets(container, audio, chirp(seconds, rate), rate)
      sound = without(sound, *hole)
    mux(container, later(film, later_film), later(sound, later_sound))
  return path


def cut(path: pathlib.Path, share: float) -> pathlib.Path:
  """A copy that holds only the first part of a file."""
  data = path.read_bytes()
  short = path.with_name(f"cut_{path.name}")
  # An odd number of bytes: no cut falls between two packets of a broadcast.
  short.write_bytes(data[: int(len(data) * share) | 1])
  return short


def turn(path, matrix):
  """Writes a display matrix into the header of the first track of an MP4."""
  data = bytearray(path.read_bytes())
  place = data.index(b"tkhd") + 44
  (a, b), (c, d) = matrix
  one = 1 << 16
  struct.pack_into(
    ">9i", data, place, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30
  )
  path.write_bytes(data)

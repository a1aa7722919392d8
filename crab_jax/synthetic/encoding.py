"""Writes the media files: mp4, avi, mp3, wav, jpg, png.

MPEG-4 part 2 video and LAME mp3 at their fastest settings: every build of
FFmpeg has the first, and both give the same bytes for the same input. Films to
be watched (`write_film`) are of what browsers play instead.
"""

import av
import numpy as np
import PIL.Image

from crab_jax import configs
from crab_jax import files
from crab_jax.sound_files import soundfile

_RATE = configs.SAMPLE_RATE


def write_video(path: files.Path, frames: np.ndarray, fps: int) -> None:
  """Writes uint8[F, H, W, 3] as mp4 or avi; H and W even."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=fps, options={"qscale": "2"})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # the same bytes on all machines
    for frame in frames:
      picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
      container.mux(stream.encode(picture))
    container.mux(stream.encode())


def write_film(
  path: files.Path, frames: np.ndarray, fps: int, samples: np.ndarray
) -> None:
  """Writes pictures and sound as one mp4, H.264 and AAC.

  Args:
    path: of the file.
    frames: uint8[F, H, W, 3]; H and W even.
    fps: frames a second.
    samples: float32[S] in [-1, 1], 16 kHz.
  """
  with av.open(str(path), "w") as container:
    video = container.add_stream("libx264", rate=fps, options={"crf": "20"})
    video.height, video.width = frames.shape[1:3]
    video.pix_fmt = "yuv420p"
    audio = container.add_stream("aac", rate=_RATE, layout="mono")
    for frame in frames:
      picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
      container.mux(video.encode(picture))
    container.mux(video.encode())
    sound = av.AudioFrame.from_ndarray(
      samples[None], format="fltp", layout="mono"
    )
    sound.sample_rate = _RATE
    container.mux(audio.encode(sound))
    container.mux(audio.encode())


def write_audio(path: files.Path, samples: np.ndarray) -> None:
  """Writes float32[S] in [-1, 1], mono 16 kHz, as mp3 or 16-bit wav."""
  if path.suffix == ".wav":
    soundfile.write(path, samples, _RATE, subtype="PCM_16")
    return
  with av.open(str(path), "w") as container:
    stream = container.add_stream(
      "libmp3lame", rate=_RATE, options={"compression_level": "9"}
    )
    stream.layout = "mono"
    stream.format = "fltp"
    frame = av.AudioFrame.from_ndarray(
      samples[None], format="fltp", layout="mono"
    )
    frame.sample_rate = _RATE
    # The whole sound is one frame; the encoder cuts it.
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_image(path: files.Path, pixels: np.ndarray) -> None:
  """Writes uint8[H, W, 3] as jpg, or uint8[H, W(, 3)] as png."""
  image = PIL.Image.fromarray(pixels)
  if path.suffix == ".jpg":
    image.save(path, quality=95)
  else:
    # The fastest level: the preparation reads these files once.
    image.save(path, compress_level=1)

"""What a model will see and hear of a row, as parts of a message."""

import base64
import dataclasses
import fractions
import io
import math
from typing import Any

import av
import numpy as np
from PIL import Image

from crab_jax import configs
from crab_jax import files
from crab_jax.annotation import cutting
from crab_jax.annotation import items
from crab_jax.annotation import placing
from crab_jax.annotation import truths
from crab_jax.data import assembly
from crab_jax.data import encodings
from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.sound_files import soundfile

FRAME_SIZES = (
  448,
  224,
  112,
)  # pixels; the next one where a request is too large
_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Senses:
  """Frames and sound of a row.

  Attributes:
    parts: of a message.
    frames: how many pictures; of a video its seconds, as which it is counted.
    seconds: of sound.
  """

  parts: list[dict[str, Any]]
  frames: int
  seconds: float

  @property
  def size(self) -> int:
    """Bytes of the parts, about."""
    return sum(len(str(part)) for part in self.parts)


def of_row(
  item: items.Item,
  task: tasks.Task,
  row: dict[str, Any],
  folder: files.Path,
  most: float,
  video: bool = False,
) -> Senses:
  """Just what `prepare` makes of a row: the task's frames, the windowed sound.

  As a video the frames are those of the whole clip. It has no sound of its own,
  which endpoints drop without a word: the sound is a part beside it.

  Args:
    item: the row.
    task: its row of the table of tasks.
    row: the annotation.
    folder: that holds the folder of the task.
    most: bytes of a request.
    video: whether the frames are sent as a video, where the task has one.

  Raises:
    Unbuildable: the media do not decode, or are too large for a request.
  """
  for size in FRAME_SIZES:
    config = configs.Preparation(frame_size=size, jpeg_quality=_QUALITY)
    reader = assembly.Reader(folder, config)
    found = assembly.assemble(reader, task, item.split, 0, row)
    if found.record is None:
      raise truths.Unbuildable(
        str(found.row["status"]), str(found.row.get("reason", ""))
      )
    record = found.record
    wave = encodings.decode_audio(record.audio)
    if video and takes_video(task):
      path = folder / task.name / placing.places(item, task)["video"].path
      parts = [_video(cutting.small(path, size))]
      frames = math.ceil(record.frame_seconds[-1]) or 1
    else:
      parts, frames = _stills(record), len(record.frames)
    senses = Senses(
      [*parts, _sound(wave)], frames, len(wave) / configs.SAMPLE_RATE
    )
    if senses.size <= most:
      return senses
  raise truths.Unbuildable(
    "request_too_large", f"its frames and sound have {senses.size} bytes"
  )


def takes_video(task: tasks.Task) -> bool:
  """Whether a row of a task has one video."""
  return sum(key.startswith("video") for key in task.media) == 1


def _stills(record: records.Record) -> list[dict[str, Any]]:
  """Each frame behind its second."""
  return [
    part
    for frame, second in zip(record.frames, record.frame_seconds, strict=True)
    for part in (_text(f"Second {second:.1f}:"), _image(frame))
  ]


def probe(video: bool = False) -> Senses:
  """A red picture, or a red video, and a tone."""
  red = np.zeros((224, 224, 3), np.uint8)
  red[..., 0] = 255
  buffer = io.BytesIO()
  Image.fromarray(red).save(buffer, "JPEG", quality=_QUALITY)
  shown = _image(buffer.getvalue())
  if video:
    pictures = [av.VideoFrame.from_ndarray(red, format="rgb24")] * 16
    shown = _video(cutting.film(pictures, fractions.Fraction(8)))
  time = np.arange(2 * configs.SAMPLE_RATE) / configs.SAMPLE_RATE
  tone = (0.5 * np.sin(2 * np.pi * 880 * time)).astype(np.float32)
  return Senses([shown, _sound(tone)], 2 if video else 1, 2.0)


def _text(text: str) -> dict[str, Any]:
  return {"type": "text", "text": text}


def _image(data: bytes) -> dict[str, Any]:
  coded = base64.b64encode(data).decode()
  return {
    "type": "image_url",
    "image_url": {"url": f"data:image/jpeg;base64,{coded}"},
  }


def _video(data: bytes) -> dict[str, Any]:
  coded = base64.b64encode(data).decode()
  return {
    "type": "video_url",
    "video_url": {"url": f"data:video/mp4;base64,{coded}"},
  }


def _sound(wave: np.ndarray) -> dict[str, Any]:
  buffer = io.BytesIO()
  soundfile.write(buffer, wave, configs.SAMPLE_RATE, format="MP3")
  coded = base64.b64encode(buffer.getvalue()).decode()
  return {
    "type": "input_audio",
    "input_audio": {"data": coded, "format": "mp3"},
  }

"""A clip of the user's own, asked what the tasks of AV-UIE v2 ask.

No annotation is needed: the media are cut, resized and merged by the rules of
each task, as the preparation does, and become a `Record` without a reference.
"""

import dataclasses

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import assembly
from crab_jax.data import encodings
from crab_jax.data import records
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.data import windows


@dataclasses.dataclass(frozen=True)
class Clip:
  """What there is of a clip.

  Attributes:
    video: a file with frames, or None.
    image: a picture, or None: the middle frame of the video.
    audio: a file with sound, or None: the video's own sound track.
    question: for the tasks that ask one; for ref_avs a description.
    options: of a question with a choice.
  """

  video: files.Path | None = None
  image: files.Path | None = None
  audio: files.Path | None = None
  question: str | None = None
  options: tuple[str, ...] = ()


def misfit(clip: Clip, task: tasks.Task) -> str | None:
  """What a clip lacks for a task; None: nothing."""
  if len(task.media) > 2:
    return "it compares two candidates"
  if clip.audio is None and clip.video is None:
    return "it needs --audio or a --video with sound"
  if task.visual == "video" and clip.video is None:
    return "it needs --video"
  if task.visual == "image" and clip.image is None and clip.video is None:
    return "it needs --image or --video"
  fields = task.question_keys("test")
  if fields and clip.question is None:
    return "it needs --question"
  if "options" in fields and not clip.options:
    return "it needs --options"
  return None


def record(
  clip: Clip, task: tasks.Task, config: configs.Preparation
) -> records.Record:
  """The record of a clip for a task that it fits.

  A task that looks at one frame of the video hears the part of the sound that
  runs with it.

  Raises:
    UserError: a file is missing, does not decode, or has no frames or sound.
  """
  reader = assembly.Reader(files.absolute(files.path(".")), config)
  try:
    frames, seconds = _sight(reader, clip, task)
  except statuses.RecordError as error:
    raise errors.UserError(f"{error.status}: {error.reason}") from error
  sound = _sound(reader, clip)
  heard = windows.cut(
    task.window, sound, windows.index_at(task.window, seconds[0], sound)
  )
  said = {
    "question": clip.question,
    "options": list(clip.options),
    "description": (clip.question or "").lower(),
  }
  return records.Record(
    id=f"{task.name}/test/0",
    task=task.name,
    split="test",
    row=0,
    status=str(statuses.Status.OK),
    frames=frames,
    frame_seconds=seconds,
    audio=encodings.encode_audio(heard),
    question={field: said[field] for field in task.question_keys("test")},
    target="",
    reference={},
    mask=b"",
    meta={},
  )


def _sound(reader: assembly.Reader, clip: Clip) -> windows.Waveform:
  """The whole sound of a clip: float32[S], 16 kHz.

  Raises:
    UserError: there is none.
  """
  try:
    return reader.audio(str(clip.audio or clip.video)).samples
  except statuses.RecordError as error:
    hint = "" if clip.audio else "; --audio=FILE gives it a sound"
    raise errors.UserError(f"{error.status}: {error.reason}{hint}") from error


def frame(clip: Clip, task: tasks.Task, size: int) -> bytes:
  """The frame that a record of a picture task has, at another size, encoded.

  Args:
    clip: what fits the task.
    task: one that looks at a picture.
    size: pixels of a side.
  """
  config = configs.Preparation(frame_size=size)
  reader = assembly.Reader(files.absolute(files.path(".")), config)
  return _sight(reader, clip, task)[0][0]


def _sight(reader: assembly.Reader, clip: Clip, task: tasks.Task):
  """Encoded frames and their seconds."""
  if task.visual == "video":
    video = reader.video(str(clip.video), task.frames)
    return video.frames, video.seconds
  if clip.image is not None:
    return [reader.image(str(clip.image))], [0.0]
  video = reader.video(str(clip.video), 3)
  return [video.frames[1]], [video.seconds[1]]

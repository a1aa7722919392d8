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
from crab_jax.data.media import frames as video_frames


@dataclasses.dataclass(frozen=True)
class Clip:
  """What there is of a clip.

  Attributes:
    video: a file with frames, or None.
    image: a picture, or None: the middle frame of the video.
    audio: a file with sound, or None: the video's own sound track.
    pictures: files of pictures that stand for a video, one for each second.
    video_cut: the part of the video that counts, its sound track included.
    audio_cut: the part of the sound that counts.
    question: for the tasks that ask one; for ref_avs a description.
    options: of a question with a choice.
    other: the second candidate, of video or audio, for tasks that compare two.
  """

  video: files.Path | None = None
  image: files.Path | None = None
  audio: files.Path | None = None
  question: str | None = None
  options: tuple[str, ...] = ()
  pictures: tuple[files.Path, ...] = ()
  video_cut: video_frames.Cut = video_frames.WHOLE
  audio_cut: video_frames.Cut = video_frames.WHOLE
  other: "Clip | None" = None

  @property
  def is_seen(self) -> bool:
    """Whether it has frames, of a video or as pictures."""
    return self.video is not None or bool(self.pictures)


def misfit(clip: Clip, task: tasks.Task) -> str | None:
  """What a clip lacks for a task, or has too much; None: it fits."""
  if why := _misfit_of_candidates(clip, task):
    return why
  if clip.audio is None and clip.video is None:
    return "it needs --audio or a --video with sound"
  if task.visual == "video" and not clip.is_seen:
    return "it needs --video"
  if task.visual == "image" and clip.image is None and not clip.is_seen:
    return "it needs --image or --video"
  fields = task.question_keys("test")
  if fields and clip.question is None:
    return "it needs --question"
  if "options" in fields and not clip.options:
    return "it needs --options"
  return None


def _misfit_of_candidates(clip: Clip, task: tasks.Task) -> str | None:
  """What is missing or too much of two candidates and what one belongs to."""
  other = clip.other or Clip()
  given = {"video": other.video, "audio": other.audio}
  pair = task.candidates
  about = f"it compares two {pair}s" if pair else "it is about one clip"
  over = [f"--other_{kind}" for kind in given if given[kind] and kind != pair]
  if over:
    return f"{about}, without {' and '.join(over)}"
  if pair is None:
    return None
  # A sound of its own: that of the first video would tell the answer.
  missing = [
    *["--video"] * (not clip.is_seen),
    *["--audio"] * (clip.audio is None),
    *[f"--other_{pair}"] * (given[pair] is None),
  ]
  return f"{about}: it needs {' and '.join(missing)}" if missing else None


def record(
  clip: Clip,
  task: tasks.Task,
  config: configs.Preparation,
  reader: assembly.Reader | None = None,
) -> records.Record:
  """The record of a clip for a task that it fits.

  A task that looks at one frame of the video hears the part of the sound that
  runs with it. Of two candidates the clip's own comes first.

  Args:
    clip: what there is.
    task: what is asked.
    config: the size of frames.
    reader: with those settings, which may have the media already; None: one
      for this record.

  Raises:
    UserError: a file is missing, does not decode, or has no frames or sound;
      its cause is a RecordError.
  """
  reader = reader or assembly.Reader(files.absolute(files.path(".")), config)
  both = [clip, clip.other or clip]
  frames, seconds = [], []
  try:
    for one in both[: task.sights]:
      seen = _sight(reader, one, task)
      frames += seen[0]
      seconds += seen[1]
  except statuses.RecordError as error:
    raise errors.UserError(f"{error.status}: {error.reason}") from error
  heard = []
  for one in both[: task.sounds]:
    sound = _sound(reader, one)
    index = windows.index_at(task.window, seconds[0], sound)
    heard.append(windows.cut(task.window, sound, index))
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
    audio=encodings.encode_audio(windows.merge(heard)),
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
  cut = clip.video_cut if clip.audio is None else clip.audio_cut
  try:
    samples = reader.audio(str(clip.audio or clip.video)).samples
    return _cut(samples, cut)
  except statuses.RecordError as error:
    hint = "" if clip.audio else "; --audio=FILE gives it a sound"
    raise errors.UserError(f"{error.status}: {error.reason}{hint}") from error


def _cut(samples: windows.Waveform, cut: video_frames.Cut) -> windows.Waveform:
  """The part of a sound inside of a cut.

  Raises:
    RecordError: there is none.
  """
  rate = configs.SAMPLE_RATE
  end = len(samples) if cut.end is None else round(cut.end * rate)
  part = samples[round(cut.start * rate) : end]
  if not len(part) and len(samples):
    raise statuses.RecordError(
      statuses.Status.BAD_AUDIO,
      f"there is no sound from {cut.start:g} s on: it ends at"
      f" {len(samples) / rate:.1f} s",
    )
  return part


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
    return _frames(reader, clip, task.frames)
  if clip.image is not None:
    return [reader.image(str(clip.image))], [0.0]
  # The middle one of first, middle and last.
  frames, seconds = _frames(reader, clip, 3)
  return [frames[1]], [seconds[1]]


def _frames(reader: assembly.Reader, clip: Clip, wanted: int):
  """Encoded frames of what stands for the video, and their seconds."""
  if clip.video is not None:
    video = reader.video(str(clip.video), wanted, clip.video_cut)
    # Of a cut the first frame is second 0, as its sound begins there.
    return video.frames, [x - clip.video_cut.start for x in video.seconds]
  indices = video_frames.frame_indices(len(clip.pictures), wanted).tolist()
  images = {i: reader.image(str(clip.pictures[i])) for i in set(indices)}
  return [images[i] for i in indices], [float(i) for i in indices]

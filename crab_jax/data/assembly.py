"""One annotation and its media files -> one `Record`, or the reason why not.

The pure core of the preparation: the process pool and Apache Beam both call
`assemble`, and its result depends on nothing but the annotation, the files and
the settings.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import annotations
from crab_jax.data import encodings
from crab_jax.data import recent
from crab_jax.data import records
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.data import windows
from crab_jax.data.media import frames as video_frames
from crab_jax.data.media import pictures
from crab_jax.data.media import sound

# Clips that a worker keeps decoded: neighbours in a file often share theirs.
_CACHED_VIDEOS = 256  # encoded frames, about 0.2 MB each
_CACHED_SOUND = 100_000_000  # bytes of float32 waveforms, 4 MB a minute


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of one annotation.

  Attributes:
    row: the line of manifest.jsonl: "id", "status", "reason", "media" and,
      for a record, "n_frames" and "duration" (seconds; each a list, a video
      an entry), "audio_seconds" (a list, a file an entry, before windows),
      "window_seconds" (what is kept), "cut_seconds" (what max_audio_seconds
      took away) and "heard_seconds" (what the audio encoder takes of what is
      kept); "also", further statuses that fit.
    record: None unless the status is usable.
  """

  row: dict
  record: records.Record | None

  def encoded(self) -> tuple[dict, bytes | None]:
    """The line of the manifest and the bytes of the record, if there is one."""
    if self.record is None:
      return self.row, None
    try:
      return self.row, records.encode(self.record)
    except Exception as error:  # such as text that is no Unicode
      line = {key: self.row[key] for key in ("id", "media")}
      return _failed(line, error), None


# (task, reference, question of a row) -> whether there is an object. Raises
# UserError where answers cannot be compared with the reference.
ReferenceCheck = Callable[[tasks.Task, dict, dict], bool]


class EncodedVideo(NamedTuple):
  """As `frames.Video`, the frames as JPEG or PNG."""

  frames: list[bytes]
  seconds: list[float]
  decodable: int
  duration: float


class Reader:
  """Reads and encodes media files under the settings of a preparation.

  Keeps the last clips: a reader must not outlive a change of the files.

  Args:
    source: the folder of the datasets.
    config: the settings.
    check: reads the references; None: they are not read.
  """

  def __init__(
    self,
    source: files.Path,
    config: configs.Preparation,
    check: ReferenceCheck | None = None,
  ):
    self.source = source
    self.config = config
    self.check = check
    self._copies = files.Copies()
    # A cache an object, not a class: it goes when the reader does.
    self.video = functools.lru_cache(_CACHED_VIDEOS)(self._video)
    self.audio = recent.Recent(
      self._audio, lambda sound: sound.samples.nbytes, _CACHED_SOUND
    )

  def _video(
    self, path: str, frames: int, cut: video_frames.Cut = video_frames.WHOLE
  ) -> EncodedVideo:
    with self._local(path) as file:
      video = video_frames.read_video(file, frames, self.config.frame_size, cut)
    return EncodedVideo(
      [self._encode(frame) for frame in video.frames],
      video.seconds,
      video.decodable,
      video.duration,
    )

  def _audio(self, path: str) -> sound.Sound:
    with self._local(path) as file:
      return sound.read_audio(file)

  def image(self, path: str) -> bytes:
    """The one frame of an image task, encoded."""
    with self._local(path) as file:
      image = pictures.read_image(file, self.config.frame_size)
    return self._encode(image)

  def mask(self, path: str | None) -> bytes:
    """The true mask, encoded; b"" where there is none."""
    if path is None or not (self.source / path).is_file():
      return b""
    with self._local(path) as file:
      return encodings.encode_mask(pictures.read_mask(file))

  def why_stretched(self, picture: str, mask: str) -> str:
    """In which sizes a mask and its picture differ; "" where they agree."""
    sizes = []
    for path in (picture, mask):
      with self._local(path) as file:
        sizes.append("{} x {}".format(*pictures.size_of(file)))
    if sizes[0] == sizes[1]:
      return ""
    return f"{mask} has {sizes[1]} pixels, {picture} {sizes[0]}"

  @contextlib.contextmanager
  def _local(self, path: str) -> Iterator[files.Path]:
    """A media file on a disk; errors name it where it is."""
    named = files.path(path) if files.is_remote(path) else self.source / path
    local = self._copies(named)
    try:
      yield local
    except statuses.RecordError as error:
      reason = error.reason.replace(str(local), str(named))
      raise statuses.RecordError(error.status, reason) from error

  def _encode(self, frame: np.ndarray) -> bytes:
    return encodings.encode_image(
      frame, self.config.frame_format, self.config.jpeg_quality
    )


def assemble(
  reader: Reader, task: tasks.Task, split: str, row: int, values: Any
) -> Outcome:
  """One row of an annotation file as a record, or the reason why not.

  Args:
    reader: the source folder and the settings.
    task: its row of the table of tasks.
    split: "train", "val" or "test".
    row: index of the row in its file.
    values: the row as JSON gives it.
  """
  line: dict[str, Any] = {
    "id": f"{task.name}/{split}/{row}",
    "status": "",
    "reason": "",
  }
  try:
    found = annotations.parse(task, split, row, values)
    line["media"] = [path for _, path in found.media]
    record, facts = _record(reader, found)
  except statuses.RecordError as error:
    reason = error.reason.replace(f"{reader.source}/", "")
    return Outcome({**line, "status": error.status, "reason": reason}, None)
  except Exception as error:  # no annotation may end a preparation
    return Outcome(_failed(line, error), None)
  return Outcome({**line, "status": record.status, **facts}, record)


def _failed(line: dict, error: Exception) -> dict:
  """The line of an annotation at which an error was raised."""
  reason = f"{type(error).__name__}: {error}"
  return {**line, "status": statuses.Status.FAILED, "reason": reason}


def media_of(task: tasks.Task, split: str, values: Any) -> list[str]:
  """The files of an annotation, its mask among them; none if it has errors."""
  try:
    found = annotations.parse(task, split, 0, values)
  except Exception:  # `assemble` counts it
    return []
  return [path for _, path in found.media] + [found.mask or ""]


def crashed(task: tasks.Task, split: str, row: int, values: Any) -> dict:
  """The line of an annotation that no process survives; see `assemble`."""
  media = [path for path in media_of(task, split, values) if path]
  return {
    "id": f"{task.name}/{split}/{row}",
    "status": statuses.Status.CRASHED,
    "reason": "the process that read it died (a decoder crashed, or memory"
    f" was not enough): {', '.join(media)}",
    "media": media,
  }


def _record(
  reader: Reader, found: annotations.Annotation
) -> tuple[records.Record, dict]:
  """The record of a parsed annotation, and the facts for the manifest."""
  audio, audio_facts = _sound(reader, found)
  frames, seconds, sight_facts = _sight(reader, found)
  mask = reader.mask(found.mask)
  short = any(n < found.task.frames for n in sight_facts["n_frames"])
  lacks = [(statuses.Status.SHORT_VIDEO, "")] * short
  lacks += _lacks(reader, found, mask)
  every = [str(status) for status, _ in lacks] or [str(statuses.Status.OK)]
  record = records.Record(
    id=found.id,
    task=found.task.name,
    split=found.split,
    row=found.row,
    status=every[0],
    frames=frames,
    frame_seconds=seconds,
    audio=audio,
    question=found.question,
    target=found.target,
    reference=found.reference,
    mask=mask,
    meta={**found.meta, "media": [path for _, path in found.media]},
  )
  facts: dict[str, Any] = {**sight_facts, **audio_facts}
  if reason := "; ".join(reason for _, reason in lacks if reason):
    facts["reason"] = reason
  if every[1:]:
    facts["also"] = every[1:]
  return record, facts


def _lacks(
  reader: Reader, found: annotations.Annotation, mask: bytes
) -> list[tuple[statuses.Status, str]]:
  """What a usable row lacks for its answer to be scored, and the reasons."""
  lacks, there = [], True
  if reader.check is not None:
    try:
      there = reader.check(found.task, found.reference, found.question)
    except errors.UserError as error:
      # The text that is trained on need not have the form of an answer.
      if found.split != "train":
        lacks.append((statuses.Status.BAD_REFERENCE, str(error)))
  if found.task.mask and there and not mask:
    reason = f"no file {found.mask}" if found.mask else "no key names a mask"
    lacks.append((statuses.Status.NO_MASK, reason))
  for kind, path in found.media:
    if (
      kind == "image"
      and found.mask
      and mask
      and (reason := reader.why_stretched(path, found.mask))
    ):
      lacks.append((statuses.Status.MASK_SIZE, reason))
  return lacks


def _sight(
  reader: Reader, found: annotations.Annotation
) -> tuple[list[bytes], list[float], dict]:
  """Encoded frames in feeding order, their seconds, facts. a2v: two videos."""
  frames, seconds, counts, durations = [], [], [], []
  for kind, path in found.media:
    if kind == "video":
      video = reader.video(path, found.task.frames)
      frames.extend(video.frames)
      seconds.extend(video.seconds)
      counts.append(video.decodable)
      durations.append(round(video.duration, 3))
    elif kind == "image":
      stem = pathlib.PurePosixPath(path).stem
      frames.append(reader.image(path))
      # The sets with images take one a second and name them by it.
      seconds.append(float(stem) if stem.isdecimal() else 0.0)
  return frames, seconds, {"n_frames": counts, "duration": durations}


def _sound(reader: Reader, found: annotations.Annotation) -> tuple[bytes, dict]:
  """FLAC of the windowed, merged audio, and facts. v2a: two files."""
  rate = configs.SAMPLE_RATE
  limit = reader.config.max_audio_seconds
  clips = [
    reader.audio(path).samples for kind, path in found.media if kind == "audio"
  ]
  pieces = [
    windows.cut(found.task.window, clip, found.window_index) for clip in clips
  ]
  # Each file on its own: of two candidates, none may vanish.
  kept = [piece[: int(limit * rate)] if limit else piece for piece in pieces]
  merged = windows.merge(kept)
  facts = {
    "audio_seconds": [round(len(clip) / rate, 3) for clip in clips],
    "window_seconds": round(len(merged) / rate, 3),
  }
  lost = sum(map(len, pieces)) - len(merged)
  if lost:
    facts["cut_seconds"] = round(lost / rate, 3)
  if len(merged) > configs.HEARD_SAMPLES:
    facts["heard_seconds"] = configs.HEARD_SAMPLES / rate
  return encodings.encode_audio(merged), facts

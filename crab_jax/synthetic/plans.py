"""What a dataset needs: its records, their hidden truth, its media files.

A plan is made of plain values and takes no rendering, so the statistics of a
big world can be examined without writing it. Planners are functions
`plan(task, split, count, seed) -> Plan`, one module a family.
"""

import dataclasses

import numpy as np

from crab_jax import files
from crab_jax.synthetic import attributes
from crab_jax.synthetic import drawing
from crab_jax.synthetic import encoding
from crab_jax.synthetic import faces
from crab_jax.synthetic import scenes
from crab_jax.synthetic import sounds


@dataclasses.dataclass(frozen=True)
class Video:
  """A video file."""

  content: scenes.Scene | scenes.Face
  targets: tuple[str, ...]  # paths of equal copies

  def write(self, root: files.Path, size: int, fps: int) -> None:
    draw = faces if isinstance(self.content, scenes.Face) else drawing
    video = draw.frames(self.content, size, fps)
    first = _with_folder(root / self.targets[0])
    encoding.write_video(first, video, fps)
    for copy in self.targets[1:]:
      files.link(first, _with_folder(root / copy))


@dataclasses.dataclass(frozen=True)
class Audio:
  """An audio file."""

  content: scenes.Scene | scenes.Face
  targets: tuple[str, ...]  # paths of equal copies

  def write(self, root: files.Path, size: int, fps: int) -> None:
    del size, fps
    first = _with_folder(root / self.targets[0])
    encoding.write_audio(first, sounds.waveform(self.content))
    for copy in self.targets[1:]:
      files.link(first, _with_folder(root / copy))


@dataclasses.dataclass(frozen=True)
class AvsFolder:
  """An AVSBench clip: pictures, a sound, a mask of what sounds a second."""

  content: scenes.Scene
  targets: tuple[str, ...]  # folders of equal copies
  sounding: tuple[str, ...]  # the instrument that sounds, second by second

  def write(self, root: files.Path, size: int, fps: int) -> None:
    del fps  # a picture a second
    folder = root / self.targets[0]
    _write_pictures(self.content, folder, size)
    for i, name in enumerate(self.sounding):
      things = [t for t in self.content.things if t.name == name]
      mask = drawing.mask(things, size)
      number = attributes.INSTRUMENTS.index(name) + 1
      colour = np.array([40 * number, 255 - 30 * number, 128], np.uint8)
      rgb = (mask[..., None] // 255) * colour
      semantic = (mask // 255) * np.uint8(number)
      encoding.write_image(_with_folder(folder / f"labels_rgb/{i}.png"), rgb)
      encoding.write_image(
        _with_folder(folder / f"labels_semantic/{i}.png"), semantic
      )
    for copy in self.targets[1:]:
      for source in files.find(folder, "*.*"):
        files.link(
          source, _with_folder(root / copy / source.relative_to(folder))
        )


@dataclasses.dataclass(frozen=True)
class RefFolder:
  """A Ref-AVS clip: pictures and a sound; masks of what is referred to."""

  content: scenes.Scene
  targets: tuple[str, ...]  # its one folder below media/
  masks: tuple[tuple[str, str | None], ...]  # (folder of a fid, instrument)

  def write(self, root: files.Path, size: int, fps: int) -> None:
    del fps  # a picture a second
    _write_pictures(self.content, root / self.targets[0], size)
    for folder, name in self.masks:
      things = [t for t in self.content.things if t.name == name]
      mask = drawing.mask(things, size)
      for i in range(self.content.seconds):
        encoding.write_image(_with_folder(root / folder / f"{i:05d}.png"), mask)


Job = Video | Audio | AvsFolder | RefFolder


@dataclasses.dataclass
class Plan:
  """A split of a dataset. Record i has truth i."""

  records: list[dict] = dataclasses.field(default_factory=list)
  truths: list[dict] = dataclasses.field(default_factory=list)
  jobs: list[Job] = dataclasses.field(default_factory=list)

  def add_clip(self, content, task: str, video: str, audio: str) -> None:
    """Adds the two files of a clip, named as in the records of a task."""
    sight = hearing = content
    if isinstance(content, scenes.Scene):  # equal files are written once
      sight = dataclasses.replace(content, sounds=(), take=0)
      hearing = dataclasses.replace(content, things=(), seed=0)
    self.jobs.append(Video(sight, (f"{task}/video/{video}",)))
    self.jobs.append(Audio(hearing, (f"{task}/audio/{audio}",)))

  def add(self, record, answer, question, sight, hearing, held_out) -> None:
    """Adds a record and its truth.

    Args:
      record: the annotation.
      answer: what there is to find out.
      question: the text of the question, "" where the task has one question.
      sight: features that are known from the frames alone.
      hearing: features that are known from the audio alone.
      held_out: whether a combination kept for the test split is shown.
    """
    self.records.append(record)
    self.truths.append(
      {
        "row": len(self.truths),
        "answer": str(answer),
        "question": question,
        "sight": list(sight),
        "hearing": list(hearing),
        "held_out": bool(held_out),
      }
    )


def merged(jobs: list[Job]) -> list[Job]:
  """Jobs of equal content become one that writes all their copies."""
  groups: dict[Job, list] = {}
  for job in jobs:
    key = dataclasses.replace(job, targets=())
    groups.setdefault(key, []).extend(job.targets)
  return [
    dataclasses.replace(key, targets=tuple(dict.fromkeys(targets)))
    for key, targets in groups.items()
  ]


def _with_folder(path: files.Path) -> files.Path:
  """The path, its folder made."""
  files.make_folder(path.parent)
  return path


def _write_pictures(scene, folder: files.Path, size: int) -> None:
  """frames/{second}.jpg and audio.wav."""
  picture = drawing.picture(scene, size)
  first = _with_folder(folder / "frames/0.jpg")
  encoding.write_image(first, picture)
  for i in range(1, scene.seconds):
    files.link(first, folder / f"frames/{i}.jpg")
  encoding.write_audio(folder / "audio.wav", sounds.waveform(scene))

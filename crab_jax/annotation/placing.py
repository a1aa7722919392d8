"""Where the media of an item lie in the folder that is written, and how.

A file is named by its content, so that rows that share one share its copy.
Whole files are linked or copied; parts, and the sound of videos, are made.
"""

import dataclasses
import hashlib

from crab_jax import files
from crab_jax.annotation import cutting
from crab_jax.annotation import items
from crab_jax.annotation import media_files
from crab_jax.annotation import rle
from crab_jax.data import tasks

_REFERRED = "media"  # where a task with `gt_mask` has its clips


@dataclasses.dataclass(frozen=True)
class Place:
  """A file of an item.

  Attributes:
    value: what the annotation says, relative to the folder of its kind.
    path: relative to the folder of the task.
  """

  value: str
  path: str


def places(item: items.Item, task: tasks.Task) -> dict[str, Place]:
  """Column of the media -> where its file is to lie; "mask" too."""
  if task.visual == "image":
    return _of_image(item, task)
  found = {}
  for column, facts in item.media.items():
    name = f"{facts.short}{_part(item)}{_suffix(column, facts, item)}"
    folder = "audio" if column.startswith("audio") else "video"
    found[column] = Place(name, f"{folder}/{name}")
  return found


def _of_image(item: items.Item, task: tasks.Task) -> dict[str, Place]:
  """A folder for each row, as AVSBench and Ref-AVS have one for each clip."""
  hashes = "".join(facts.sha256 for facts in item.media.values())
  # Rows of one id may come to have other files.
  clip = f"{item.name}-{hashlib.sha256(hashes.encode()).hexdigest()[:8]}"
  folder = f"{_REFERRED if task.mask == 'gt_mask' else 'clips'}/{clip}"
  image, sound = item.media["image"], item.media["audio"]
  number = frame_index(item, task)
  suffix = ".jpg" if image.suffix in (".jpg", ".jpeg") else image.suffix
  names = {
    "image": f"{folder}/frames/{number}{suffix}",
    "audio": f"{folder}/audio{_suffix('audio', sound, item)}",
  }
  if "mask" in item.media and task.mask == "gt_mask":
    fid = item.row.meta.get("fid", 0)
    names["mask"] = f"gt_mask/{clip}/fid_{fid}/{number:05d}.png"
  elif "mask" in item.media:
    names["mask"] = f"{folder}/labels_rgb/{number}.png"
  return {column: Place(name, name) for column, name in names.items()}


def frame_index(item: items.Item, task: tasks.Task) -> int:
  """The number of the frame, which is also the part of the sound."""
  row = item.row
  if row.frame is not None or row.frame_second is None:
    return row.frame or 0
  parts = {"one_fifth": 5, "one_tenth": 10}.get(task.window)
  if parts and item.length:
    return min(int(row.frame_second / item.length * parts), parts - 1)
  return int(row.frame_second)


def _part(item: items.Item) -> str:
  return f"_{item.cut[0]:g}-{item.cut[1]:g}" if item.cut else ""


def _is_made(column: str, facts: media_files.Facts, item: items.Item) -> bool:
  """Whether a file is not the source's own."""
  return item.cut is not None or (column.startswith("audio") and facts.video)


def _suffix(column: str, facts: media_files.Facts, item: items.Item) -> str:
  if not _is_made(column, facts, item):
    return facts.suffix
  return ".flac" if column.startswith("audio") else ".mp4"


def put(
  item: items.Item,
  task: tasks.Task,
  folder: files.Path,
  media: files.Path,
  media_as: str,
) -> None:
  """Makes the files of an item that are not there.

  Args:
    item: what is built.
    task: its row of the table of tasks.
    folder: of the task.
    media: the folder of the source's files.
    media_as: "link" or "copy".

  Raises:
    Unbuildable: a file does not decode.
  """
  for column, place in places(item, task).items():
    target = folder / place.path
    if target.is_file():
      continue
    files.make_folder(target.parent)
    facts = item.media[column]
    source = media / facts.path
    if column == "mask" and item.row.rle:
      files.write_bytes(target, rle.png(rle.decode(item.row.rle)))
    elif column.startswith("audio") and _is_made(column, facts, item):
      cutting.sound_of(source, target, item.cut)
    elif column.startswith("video") and item.cut is not None:
      cutting.frames_of(source, target, item.cut)
    else:
      _put_whole(source, target, media_as)


def _put_whole(source: files.Path, target: files.Path, media_as: str) -> None:
  if media_as == "link":
    files.link(source, target)
  else:
    files.copy(source, target)

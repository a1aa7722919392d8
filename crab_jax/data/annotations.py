"""AV-UIE v2 annotation files: finding, reading and normalising them.

Each dataset has other keys, and train others than test; `parse` turns a row
into one form for all. It demands only what is used, and accepts the alias of
a key where the sets disagree. It opens no media.
"""

import dataclasses
import json
import pathlib
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.data import statuses
from crab_jax.data import tasks

# Names that mean the same in different sets; the one that the table of tasks
# names comes first.
_ALIASES = (
  ("visual_path", "image_path"),
  ("description", "object"),
  ("idx", "frame_idx"),
)
# Names of the supervision text, but where the reference is made of that key
# (the `label` of ucf is the name of the class).
_TARGETS = ("new_label", "label_content", "output", "label")


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One row of an annotation file, normalised.

  Attributes:
    id: "{task}/{split}/{row}".
    task: the row of the table of tasks.
    split: "train", "val" or "test".
    row: index in the file, from 0.
    media: (kind, path) in feeding order; kind is "video", "image" or "audio",
      the path relative to the source folder.
    mask: path of the true mask, relative to the source folder, or None; the
      file may be absent.
    window_index: which part of the audio, for the rules that take one.
    question: as `Record.question`.
    target: as `Record.target`.
    reference: as `Record.reference`.
    meta: all other keys of the row.
  """

  id: str
  task: tasks.Task
  split: str
  row: int
  media: list[tuple[str, str]]
  mask: str | None
  window_index: int
  question: dict
  target: str
  reference: dict
  meta: dict


def root(source: files.Path) -> files.Path:
  """The folder of the datasets: `source`, or AVUIE_2 inside it.

  Raises:
    UserError: there is no such folder.
  """
  source = files.path(source)
  if not source.is_dir():
    raise errors.UserError(f"no folder {source}: it should hold AV-UIE v2")
  inner = source / "AVUIE_2"
  return inner if inner.is_dir() else source


def find(
  source: files.Path,
  table: tasks.Tasks,
  names: tuple[str, ...] | None = None,
) -> dict[str, dict[str, files.Path]]:
  """Task -> split -> annotation file, of those that exist.

  Args:
    source: the folder of the datasets.
    table: the tasks.
    names: the tasks wanted; None: all that are there.

  Raises:
    UserError: an unknown task, a wanted one without annotations, or none.
  """
  table.require(names or (), "--tasks")
  found = {}
  for name in table:
    if names is None or name in names:
      paths = {
        split: source / name / f"{split}.json" for split in tasks.ALL_SPLITS
      }
      found[name] = {
        s: path for s, path in paths.items() if files.is_file(path)
      }
    if names is not None and name in names and not found[name]:
      raise errors.UserError(f"no annotations of {name} in {source / name}")
  found = {name: splits for name, splits in found.items() if splits}
  if not found:
    raise errors.UserError(
      f"no annotations in {source}: expected files like ave/train.json"
    )
  return found


def read(path: files.Path) -> list:
  """The rows of an annotation file.

  Raises:
    UserError: it cannot be read, is not JSON, or not a list.
  """
  try:
    rows = json.loads(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise errors.UserError(f"cannot read {path}: {error}") from error
  # JSON and unicode errors, and lists in lists without end.
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f"{path} is not JSON: {error}") from error
  if not isinstance(rows, list):
    raise errors.UserError(
      f"{path} should be a list of records, it is a {type(rows).__name__}"
    )
  return rows


def parse(task: tasks.Task, split: str, row: int, values: Any) -> Annotation:
  """One row of an annotation file in the form that all tasks share.

  Raises:
    RecordError: missing_key, missing_file (an empty path), empty_target.
  """
  if not isinstance(values, dict):
    kind = type(values).__name__
    raise _missing(f"the row is no object, it is a {kind}")
  # A set without test.json of its own keeps the keys of train.
  keys = "test" if tasks.is_test(split) and task.has_test else "train"
  reader = _Reader(values, task)
  media = [reader.media(key) for key in task.media_keys(keys)]
  index = reader.index(task.index_key(keys))
  question = {
    field: reader.text(key) for field, key in task.question_keys(keys).items()
  }
  raw = {
    key: reader.text(key)
    for key in (*task.needs, *task.keeps, tasks.FACTS)
    # Training supervises the target; only a test row must hold what its
    # reference is made of.
    if key in values or (keys == "test" and key in task.needs)
  }
  target = "" if keys == "test" else reader.target()
  text = _reference(task, raw) if keys == "test" else target
  meta = {k: v for k, v in values.items() if k not in reader.used}
  if task.window.startswith("one_"):
    meta["window_index"] = index
  return Annotation(
    id=f"{task.name}/{split}/{row}",
    task=task,
    split=split,
    row=row,
    media=media,
    mask=_mask_path(task, media[0][1], values),
    window_index=index,
    question=question,
    target=target,
    reference={"text": text, **raw},
    meta=meta,
  )


class _Reader:
  """Reads keys of one row and remembers which."""

  def __init__(self, values: dict, task: tasks.Task):
    self.values = values
    self.task = task
    self.used: set[str] = set()

  def get(self, key: str, aliases: tuple[str, ...] = ()) -> Any:
    """The value of a key, or of the first alias that the row has."""
    for group in _ALIASES:
      if key in group:
        aliases = group
    # The key of the table first: a row may hold both.
    for name in (key, *aliases):
      if name in self.values:
        self.used.add(name)
        return self.values[name]
    raise _missing(f"no key {key!r}")

  def text(self, key: str) -> Any:
    """A value that a question or a reference is made of."""
    value = self.get(key)
    lower = key in self.task.lower and isinstance(value, str)
    return value.lower() if lower else value

  def media(self, key: str) -> tuple[str, str]:
    """The kind of a media file and its path relative to the source."""
    value = self.get(key)
    if not isinstance(value, str) or not value.strip():
      raise statuses.RecordError(
        statuses.Status.MISSING_FILE, f"{key} is empty: {value!r}"
      )
    kind = "audio" if key.startswith("audio") else self.task.visual
    folder = "" if self.task.visual == "image" else f"{kind}/"
    return kind, f"{self.task.name}/{folder}{value}"

  def index(self, key: str | None) -> int:
    """Which part of the audio is meant; 0 where no key says."""
    if key is None:
      return 0
    value = self.get(key)
    try:
      return int(value)
    except (TypeError, ValueError) as error:
      raise _missing(f"{key}={value!r} is no whole number") from error

  def target(self) -> str:
    """The supervision text."""
    aliases = tuple(k for k in _TARGETS if k not in self.task.needs)
    value = self.get(self.task.target, aliases)
    if not isinstance(value, str) or not value.strip():
      raise statuses.RecordError(
        statuses.Status.EMPTY_TARGET, f"{self.task.target} is empty: {value!r}"
      )
    return value


def _missing(reason: str) -> statuses.RecordError:
  return statuses.RecordError(statuses.Status.MISSING_KEY, reason)


def _reference(task: tasks.Task, raw: dict) -> str:
  """The reference answer of a test row."""
  try:
    return task.reference.format(**raw)
  except (LookupError, TypeError, ValueError) as error:
    raise _missing(f"no reference can be made of {raw}: {error!r}") from error


def _mask_path(task: tasks.Task, image: str, values: dict) -> str | None:
  """Where the true mask of an image lies; None if the task has none."""
  path = pathlib.PurePosixPath(image)
  clip = path.parent.parent  # .../{clip}/frames/{i}.jpg
  if task.mask == "labels":
    return str(clip / "labels_rgb" / f"{path.stem}.png")
  if task.mask == "gt_mask" and "fid" in values:
    name = f"{path.stem:0>5}.png"
    folder = str(clip).replace("/media/", "/gt_mask/")
    return f"{folder}/fid_{values['fid']}/{name}"
  return None

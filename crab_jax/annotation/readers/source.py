"""What readers have in common: lines with their place, and what is left out.

A reader gives (file and line, values by column) for every line, or a `Skip` in
the place of the values. A media column may be a tuple of paths without endings,
the likeliest first: `locate` finds the file.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import rows

ENDINGS = (
  ".mp4", ".avi", ".mkv", ".webm", ".mov", ".flv", ".wav", ".mp3", ".flac",
  ".m4a", ".jpg", ".png",
)  # fmt: skip
SPLITS = {"train": "train", "val": "val", "dev": "val", "validation": "val",
          "valid": "val", "validate": "val", "test": "test", "testing": "test",
          "training": "train"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Skip:
  """Why a line is no row; "damaged": it should be one."""

  status: str
  reason: str


Line = tuple[str, "dict[str, Any] | Skip"]


@dataclasses.dataclass(frozen=True)
class Options:
  """What a user says where a set has several forms.

  Attributes:
    labels: which of several folders of annotations.
    cremad: "acted" or "voted".
    fold: of the sets with several, from 1.
    seed: of pairs that are made.
  """

  labels: str | None = None
  cremad: str = "acted"
  fold: int = 1
  seed: int = 0


def text(path: files.Path) -> str:
  """The text of a file: UTF-8, or what Windows writes.

  Raises:
    UserError: it is not there.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    raise errors.UserError(f"cannot read {path}: {error}") from error
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError:
    return data.decode("cp1252", errors="replace")


def each(
  path: files.Path, make: Callable[[str], dict[str, Any] | Skip | None]
) -> Iterator[Line]:
  """What `make` makes of each line that is not blank; None: nothing."""
  for number, line in enumerate(text(path).splitlines(), 1):
    if line.strip():
      found = _tried(make, line.strip())
      if found is not None:
        yield f"{path.name} line {number}", found


def table(
  path: files.Path,
  make: Callable[[list[str]], dict[str, Any] | Skip | None],
  separator: str = ",",
) -> Iterator[Line]:
  """What `make` makes of the cells of each line."""
  reader = csv.reader(text(path).splitlines(keepends=True), delimiter=separator)
  try:
    for cells in reader:
      if any(map(str.strip, cells)):
        found = _tried(make, [cell.strip() for cell in cells])
        if found is not None:
          yield f"{path.name} line {reader.line_num}", found
  except csv.Error as error:
    raise errors.UserError(
      f"{path.name} line {reader.line_num}: {error}"
    ) from None


def named(
  path: files.Path,
  make: Callable[[dict[str, str]], dict[str, Any] | Skip | None],
  separator: str = ",",
) -> Iterator[Line]:
  """What `make` makes of the cells of each line by the names of a header."""
  header: list[str] = []

  def with_names(cells: list[str]):
    if not header:
      header.extend(cells)
      return None
    if len(cells) != len(header):
      return Skip(
        "damaged", f"{len(cells)} cells in the place of {len(header)}"
      )
    return make(dict(zip(header, cells, strict=True)))

  return table(path, with_names, separator)


def items(
  path: files.Path, make: Callable[[Any], dict[str, Any] | Skip | None]
) -> Iterator[Line]:
  """What `make` makes of each item of a JSON list.

  Raises:
    UserError: it is no JSON list.
  """
  found = document(path)
  if not isinstance(found, list):
    raise errors.UserError(f"{path} should be a JSON list")
  for number, item in enumerate(found):
    row = _tried(make, item)
    if row is not None:
      yield f"{path.name} item {number}", row


def document(path: files.Path) -> Any:
  """The value of a JSON file. Raises UserError."""
  try:
    return json.loads(text(path))
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f"{path} is no JSON: {error}") from None


def _tried(make: Callable, value: Any):
  """What is made of a value; what raises is damaged."""
  try:
    return make(value)
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    shown = repr(value)[:80]
    return Skip("damaged", f"{type(error).__name__}: {error} in {shown}")


def one_of(source: files.Path, *names: str) -> files.Path:
  """The first of several paths that is there, also deeper in the folder.

  Raises:
    UserError: none is.
  """
  for name in names:
    if (source / name).is_file():
      return source / name
  for name in names:
    if found := files.find(source, os.path.basename(name)):
      return found[0]
  raise errors.UserError(f"{source} has no {' or '.join(names)}")


class Index:
  """The media files of a folder, by path and by name without ending."""

  def __init__(self, folder: files.Path):
    self._paths: dict[str, str] = {}
    self._stems: dict[str, list[str]] = {}
    for path in files.find(folder, "*"):
      name = os.path.relpath(path, folder)
      bare, ending = os.path.splitext(name)
      if ending.lower() in ENDINGS and not name.startswith("."):
        self._paths[name] = name
        self._paths.setdefault(bare, name)
        self._stems.setdefault(os.path.basename(bare), []).append(name)

  def exact(self, names: Iterable[str]) -> str | None:
    """The first of several files that is there, in just this folder."""
    return next((self._paths[n] for n in names if n in self._paths), None)

  def find(self, names: Iterable[str], sound: bool) -> str | None:
    """The first of several files that is there, perhaps in another folder."""
    wanted = tuple(names)
    if (found := self.exact(wanted)) is not None:
      return found
    for name in wanted:
      # Several of one name: frames and sound of one clip in two folders.
      there = self._stems.get(os.path.basename(name), [])
      kind = [n for n in there if _is_sound(n) == sound] or there
      if len(kind) == 1 or (kind and not os.path.dirname(name)):
        return kind[0]
    return None


def _is_sound(name: str) -> bool:
  return name.lower().endswith((".wav", ".mp3", ".flac", ".m4a"))


def locate(values: dict[str, Any], index: Index) -> dict[str, Any]:
  """The values with the files that are there; the first name where none is."""
  found = dict(values)
  for column in rows.MEDIA:
    names = found.get(column)
    if names is None or isinstance(names, str):
      continue
    if column == "image":  # its mask may have the same name elsewhere
      path = index.exact(names)
    else:
      path = index.find(names, column.startswith("audio"))
    found[column] = path or f"{names[0]}{_default(column)}"
  return found


def _default(column: str) -> str:
  return {"a": ".wav", "i": ".png"}.get(column[0], ".mp4")

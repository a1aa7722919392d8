"""Paths, and what is asked of them."""

import fnmatch
import os
import pathlib
from collections.abc import Sequence

from etils import epath

from crab_jax import buckets
from crab_jax import errors

Path = pathlib.Path | epath.Path  # what functions take
NEW = ".incomplete"  # ends the name of what is not finished


def path(text: str | os.PathLike[str]) -> epath.Path:
  """The path that a flag or a setting names.

  Raises:
    UserError: it is of a bucket that cannot be read, or of a service of which
      nothing is known here.
  """
  name = os.fspath(text)
  if buckets.holds(name):
    if not buckets.bucket_of(name):
      raise errors.UserError(f"{name}: gs:// wants the name of a bucket")
    buckets.check(buckets.bucket_of(name))
  elif "://" in name:
    raise errors.UserError(
      f"{name}: of remote folders only gs:// is known; mount others and give"
      " the path where they are"
    )
  return epath.Path(text)


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Whether a path is of a bucket."""
  return buckets.holds(path)


def refusal(error: BaseException) -> str | None:
  """Why a bucket refused, where no call of here reports it; None: not that."""
  return buckets.refusal(error)


def absolute(path: Path) -> Path:
  """The path from the root on: tensorstore and orbax want it so."""
  if buckets.holds(path):
    return path
  return type(path)(os.path.abspath(path))


def is_file(path: Path) -> bool:
  """Whether there is a file; of a bucket cheaper than `path.is_file()`."""
  return buckets.is_object(path) if buckets.holds(path) else path.is_file()


def is_same(one: Path, other: Path) -> bool:
  """Whether two paths lead to the same file or folder; both are there."""
  if buckets.holds(one) or buckets.holds(other):
    return os.fspath(one) == os.fspath(other)
  return os.path.samefile(one, other)


def size(path: Path) -> int:
  """Bytes of a file."""
  if buckets.holds(path):
    return buckets.size(path)
  return os.stat(path).st_size


def sizes(folder: Path, pattern: str) -> dict[Path, int]:
  """Bytes of the files in a folder and all below it, in order.

  Of a bucket it is one request for a thousand files.
  """
  if buckets.holds(folder):
    found = buckets.sizes(folder, pattern)
    return {folder / name: found[name] for name in sorted(found)}
  return {path: size(path) for path in find(folder, pattern)}


def stamp(path: Path) -> tuple[int, int] | None:
  """What changes when a file does: bytes and time; None: it is not there."""
  if buckets.holds(path):
    return buckets.stamp(path)
  try:
    found = os.stat(path)
  except (OSError, ValueError):  # ValueError: no name of a file, as with NUL
    return None
  return found.st_size, found.st_mtime_ns


def stamps(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
  """`stamp` of many files; those of a bucket are asked for together."""
  if any(map(buckets.holds, paths)):
    return buckets.stamps(paths)
  return list(map(stamp, paths))


def listing(folder: Path, pattern: str = "*") -> list[Path]:
  """What lies in a folder, by name; [] where there is no folder."""
  if buckets.holds(folder):
    names = buckets.listing(folder)
    return [folder / name for name in fnmatch.filter(names, pattern)]
  try:
    names = os.listdir(folder)
  except FileNotFoundError:
    return []
  return [folder / name for name in sorted(fnmatch.filter(names, pattern))]


def find(folder: Path, pattern: str) -> list[Path]:
  """The files in a folder and all below it, in order."""
  if buckets.holds(folder):
    return sorted(folder / name for name in buckets.sizes(folder, pattern))
  return sorted(
    folder / os.path.relpath(os.path.join(top, name), folder)
    for top, _, names in os.walk(folder)
    for name in fnmatch.filter(names, pattern)
  )

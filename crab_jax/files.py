"""Paths, and every way in which files are written: the only module that knows.

What is found under its name is complete. A file is written under another name
beside its own and renamed (`writing` and the functions above it); a folder too
(`new_folder`). A process that is killed leaves at most something named
`*.incomplete`, which the next writer of the same name takes over or removes.

  path                          text of a flag or a setting -> a path
  write_bytes, write_text, write_json, write_json_lines, writing, copy
                                one file, whole or not at all
  json_text, json_document, json_line
                                strict JSON, for those that write or send it
  write_together                several files of a folder, the last one last
  new_folder, replace_folder    a folder, whole or not at all
  Growing                       a file that survives interruptions, in parts
  append                        a line at the end of a log
  lock, claim                   one process of many
  make_folder, why_not_writable, remove, listing, find, is_same, link, size, stamp, age, touch, absolute
  Ranges                        pieces of a large file

The functions take any path; those that commands hand down are `etils.epath`'s.
Files lie on local or mounted disks: `path` refuses a bucket.
"""

import contextlib
import ctypes
import fcntl
import fnmatch
import io
import json
import math
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from etils import epath

from crab_jax import errors

Path = pathlib.Path | epath.Path  # what functions take
_NEW = ".incomplete"
_OLD = ".replaced"
_PART = ".part"
_AT_CWD = -100  # of renameat2: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2


class Locked(Exception):
  """Another process holds the lock."""


def path(text: str | os.PathLike[str]) -> epath.Path:
  """The path that a flag or a setting names.

  Raises:
    UserError: it lies in a bucket.
  """
  if "://" in os.fspath(text):
    raise errors.UserError(
      f"{os.fspath(text)}: remote folders are not supported yet; mount"
      " the bucket (gcsfuse) and give the path where it is mounted"
    )
  return epath.Path(text)


def absolute(path: Path) -> Path:
  """The path from the root on: tensorstore and orbax want it so."""
  return type(path)(os.path.abspath(path))


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
  """Writes a file whole or not at all; see `writing`."""
  with writing(path, sync=sync) as file:
    file.write(data)


def write_text(path: Path, text: str) -> None:
  """Writes UTF-8 text, whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
  """Writes one JSON value (`json_document`), whole or not at all."""
  write_bytes(path, json_document(value), sync=sync)


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
  """Writes a JSON value a line, whole or not at all."""
  with writing(path) as file:
    file.writelines(map(json_line, values))


def json_document(value: Any) -> bytes:
  """A JSON value as the content of a file, see `json_text`."""
  return _encoded(json_text(value, indent=1) + "\n")


def json_line(value: Any) -> bytes:
  """A JSON value as a line of a log, see `json_text`."""
  return _encoded(json_text(value) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
  """Strict JSON: numpy's numbers as floats, undefined numbers as null.

  JSON knows neither NaN nor infinity, and most readers refuse a file that holds
  one. Refusing to write it would cost a report for a number.
  """

  def dump(value: Any) -> str:
    return json.dumps(
      value, indent=indent, default=float, ensure_ascii=False, allow_nan=False
    )

  try:
    return dump(value)
  except ValueError:  # some number is NaN or infinite
    return dump(_defined(value))


def _defined(value: Any) -> Any:
  """The value with null for each number that is NaN or infinite."""
  if isinstance(value, Mapping):
    return {name: _defined(item) for name, item in value.items()}
  if isinstance(value, list | tuple):
    return [_defined(item) for item in value]
  if value is None or isinstance(value, str | int):
    return value
  number = float(value)
  return number if math.isfinite(number) else None


def _encoded(text: str) -> bytes:
  # A lone surrogate has no UTF-8; so written it is JSON's own escape for it.
  return text.encode(errors="backslashreplace")


@contextlib.contextmanager
def writing(path: Path, *, sync: bool = False) -> Iterator[io.BufferedWriter]:
  """A file to write, which gets its name when the block ends without error.

  Several processes may write the same file at a time: the last one wins, whole.

  Args:
    path: the name; its folder is there.
    sync: whether the content is on the disk before it gets its name: it then
      survives a crash of the machine, not of the process alone.
  """
  new, file = _open_new(os.fspath(path))
  with file:
    try:
      yield file
      file.flush()
      if sync:
        os.fsync(file.fileno())
      os.replace(new, path)
    except BaseException:
      with contextlib.suppress(OSError):
        os.unlink(new)
      raise


def _open_new(name: str) -> tuple[str, io.BufferedWriter]:
  """An empty file beside `name` that nobody else writes.

  The name is always the same, so that one that a kill left is written over
  by the next writer; the lock keeps two writers from doing so together.
  """
  new = name + _NEW
  while True:
    # Not `open(new, "wb")`, which empties the file before it is locked.
    file = os.fdopen(os.open(new, os.O_RDWR | os.O_CREAT, 0o666), "wb")
    try:
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: a name of its own
      file.close()
      os.unlink(new)
      new = f"{name}.{uuid.uuid4().hex}{_NEW}"
      return new, open(new, "xb")
    try:
      # Whoever held the lock before may have renamed or removed the file.
      if os.path.samestat(os.stat(new), os.fstat(file.fileno())):
        file.truncate()
        return new, file
    except FileNotFoundError:
      pass
    file.close()


def copy(source: Path, path: Path) -> None:
  """Copies a file, whole or not at all."""
  with open(source, "rb") as old, writing(path) as new:
    shutil.copyfileobj(old, new)


def write_together(
  folder: Path, contents: Mapping[str, bytes], *, last: str
) -> None:
  """Writes several files into a folder; where `last` is, the others are.

  An error before the first gets its name leaves all that was there.

  Args:
    folder: made if need be.
    contents: by name, "a/b" in a folder of its own.
    last: the name of the file that tells readers that all are there.
  """
  make_folder(folder)
  new = folder / f"{_NEW}-{uuid.uuid4().hex[:8]}"
  try:
    for name, data in contents.items():
      make_folder((folder / name).parent)
      make_folder((new / name).parent)
      (new / name).write_bytes(data)
    remove(folder / last)  # it tells of the files that are now replaced
    for name in [*(name for name in contents if name != last), last]:
      os.replace(new / name, folder / name)
  finally:
    _remove_begun(folder, _NEW)  # this one, and what a kill left


def incomplete(folder: Path) -> Path:
  """Under what name several hosts write a folder before `replace_folder`."""
  return folder.with_name(folder.name + _NEW)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
  """An empty folder to fill, which gets its name when the block ends.

  A folder that is there is replaced (`replace_folder`). One process at a time
  writes a folder.
  """
  make_folder(folder.parent)
  begun = folder.name + _NEW
  _remove_begun(folder.parent, begun)  # what a kill left: it fills the disk
  # A name of its own: workers of a killed process may still write to theirs.
  new = folder.with_name(f"{begun}-{uuid.uuid4().hex[:8]}")
  os.mkdir(new)
  try:
    yield new
    replace_folder(new, folder)
  except Exception:
    shutil.rmtree(new, ignore_errors=True)
    raise


def _remove_begun(folder: Path, prefix: str) -> None:
  """Removes folders that were not finished."""
  for path in listing(folder):
    if path.name.startswith(prefix):
      shutil.rmtree(path, ignore_errors=True)


def replace_folder(new: Path, folder: Path) -> None:
  """Gives a complete folder its name; the one that has it is removed.

  Where the system can exchange two names, a reader finds one or the other at
  every moment. Else a stop between two renames leaves both whole, the one
  before under {folder}.replaced.
  """
  old = folder.with_name(folder.name + _OLD)
  shutil.rmtree(old, ignore_errors=True)
  if folder.exists():
    if _exchange(new, folder):
      # `new` is now the folder that was there.
      shutil.rmtree(new, ignore_errors=True)
      return
    os.rename(folder, old)
  os.rename(new, folder)
  shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
  """Exchanges two names at once; False: it cannot be done here."""
  try:
    rename = ctypes.CDLL(None, use_errno=True).renameat2  # Python has no name
  except (AttributeError, OSError):  # not Linux
    return False
  names = (os.fsencode(one), os.fsencode(other))
  return rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0


def make_folder(folder: Path) -> None:
  """Makes a folder and those above it, where they are missing."""
  folder.mkdir(parents=True, exist_ok=True)


def why_not_writable(folder: Path) -> str:
  """Makes a folder, and says why nothing can be written into it; "": it can."""
  try:
    make_folder(folder)
  except OSError as error:
    return error.strerror or str(error)
  return "" if os.access(folder, os.W_OK | os.X_OK) else "not allowed"


class Growing:
  """A file that is written over several starts, under the name {name}.part.

  What was written is there after a kill of the process, at worst but for a
  last piece that is cut off. The file gets its name by `finish`.
  """

  def __init__(self, path: Path, keep: int | None = None):
    """Opens the part.

    Args:
      path: the name of the finished file.
      keep: bytes of the part that are good; it goes on behind them. None: all.
    """
    self._path = path
    self._file = open(part_of(path), "ab")  # noqa: SIM115  closed by `close`
    if keep is not None:
      self._file.truncate(keep)

  def write(self, data: bytes) -> None:
    """Appends, and hands it to the system."""
    self._file.write(data)
    self._file.flush()  # what the system has survives a kill of the process

  def close(self) -> None:
    """Leaves the part as it is, for the next start."""
    self._file.close()

  def sync(self) -> None:
    """Returns when all of it is on the disk."""
    os.fsync(self._file.fileno())

  def finish(self) -> None:
    """Gives the file its name."""
    self._file.close()
    os.replace(part_of(self._path), self._path)


def part_of(path: Path) -> Path:
  """The part of a `Growing` file."""
  return path.with_name(path.name + _PART)


def append(path: Path, data: bytes) -> None:
  """Appends to a log, which one process writes; made if need be."""
  with open(path, "ab") as file:
    file.write(data)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
  """Holds a lock file; it is free again at the end or when the process dies.

  Raises:
    Locked: another process holds it.
  """
  with open(path, "w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise Locked(os.fspath(path)) from error
    yield


def claim(path: Path, text: str) -> bool:
  """Makes a file that is not there; of all who try, one gets True."""
  try:
    with open(path, "x", encoding="utf-8") as file:
      file.write(text)
  except FileExistsError:
    return False
  return True


def touch(path: Path) -> None:
  """Makes the `age` of a file zero."""
  os.utime(path)


def age(path: Path) -> float:
  """Seconds since a file was written or touched."""
  return time.time() - os.stat(path).st_mtime


def remove(path: Path) -> None:
  """Removes a file, or a folder and all in it; neither need be there."""
  if os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


def listing(folder: Path, pattern: str = "*") -> list[Path]:
  """What lies in a folder, by name; [] where there is no folder."""
  try:
    names = os.listdir(folder)
  except FileNotFoundError:
    return []
  return [folder / name for name in sorted(fnmatch.filter(names, pattern))]


def find(folder: Path, pattern: str) -> list[Path]:
  """The files in a folder and all below it, in order."""
  return sorted(
    folder / os.path.relpath(os.path.join(top, name), folder)
    for top, _, names in os.walk(folder)
    for name in fnmatch.filter(names, pattern)
  )


def link(source: Path, path: Path) -> None:
  """A second name of a file, or a copy where the disk has no hard links."""
  try:
    os.link(source, path)
  except OSError:
    copy(source, path)


def is_same(one: Path, other: Path) -> bool:
  """Whether two paths lead to the same file or folder; both are there."""
  return os.path.samefile(one, other)


def size(path: Path) -> int:
  """Bytes of a file."""
  return os.stat(path).st_size


def stamp(path: Path) -> tuple[int, int] | None:
  """What changes when a file does: bytes and time; None: it is not there."""
  try:
    found = os.stat(path)
  except (OSError, ValueError):  # ValueError: no name of a file, as with NUL
    return None
  return found.st_size, found.st_mtime_ns


class Ranges:
  """Pieces of one file, read by their offset; a context manager."""

  def __init__(self, path: Path):
    self._file = os.open(path, os.O_RDONLY)

  def read(self, start: int, count: int) -> bytes:
    """`count` bytes from `start` on, fewer at the end of the file."""
    return os.pread(self._file, count, start)

  def __enter__(self) -> "Ranges":
    return self

  def __exit__(self, *_) -> None:
    os.close(self._file)

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
  begun_folder, finish_folder   a folder that several hosts write together
  Growing                       a file that survives interruptions, in parts
  append                        a line at the end of a log
  lock, claim                   one process of many
  make_folder, why_not_writable, remove, listing, find, is_file, is_same, link, size,
  sizes, stamp, stamps, age, touch, absolute
  read_bytes, reading, Ranges   a file, from its beginning, pieces of a large one
  Copies, local_folder          where libraries that know no bucket can read
  scratch, store                the local disk for a while; tensorstore's words

The functions take any path; those that commands hand down are `etils.epath`'s.
A path may be of a bucket, gs://BUCKET/NAME (`buckets`): what holds there
otherwise is said where it does.
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
import tempfile
import time
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from etils import epath

from crab_jax import buckets
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


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
  """Writes a file whole or not at all; see `writing`."""
  if buckets.holds(path):
    buckets.write(path, data)
    return
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
  if buckets.holds(path):
    with buckets.writing(path) as file:
      yield file
    return
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
  with reading(source) as old, writing(path) as new:
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
  if buckets.holds(folder):
    buckets.remove(folder / last)
    for name in [*(name for name in contents if name != last), last]:
      buckets.write(folder / name, contents[name])
    return
  make_folder(folder)
  new = folder / f"{_NEW}-{uuid.uuid4().hex[:8]}"
  try:
    # All content is on the disk before a name changes: a full disk then costs
    # nothing that was there.
    for name, data in contents.items():
      make_folder((folder / name).parent)
      make_folder((new / name).parent)
      (new / name).write_bytes(data)
    remove(folder / last)  # it tells of the files that are now replaced
    for name in [*(name for name in contents if name != last), last]:
      os.replace(new / name, folder / name)
  finally:
    _remove_begun(folder, _NEW)  # this one, and what a kill left


def begun_folder(folder: Path, last: str) -> Path:
  """Where several hosts write a folder together before `finish_folder`.

  One of them calls this. On a disk it is another folder beside it. In a bucket,
  which cannot rename, it is the folder itself: what was there is removed, the
  file `last` first, by which readers know a whole one.
  """
  if buckets.holds(folder):
    buckets.remove(folder, first=last)
    return folder
  new = folder.with_name(folder.name + _NEW)
  remove(new)
  make_folder(new)
  return new


def begun(folder: Path) -> Path:
  """The name of what `begun_folder` made, for the other hosts."""
  if buckets.holds(folder):
    return folder
  return folder.with_name(folder.name + _NEW)


def finish_folder(new: Path, folder: Path) -> None:
  """Gives a folder of `begun_folder` its name; its file `last` is there."""
  if not buckets.holds(folder):
    replace_folder(new, folder)


@contextlib.contextmanager
def new_folder(folder: Path, last: str | None = None) -> Iterator[Path]:
  """An empty folder to fill, which gets its name when the block ends.

  A folder that is there is replaced (`replace_folder`). One process at a time
  writes a folder. For a bucket it is filled on the local disk and uploaded.

  Args:
    folder: the name.
    last: the file by which readers know a whole folder: in a bucket it is the
      first to be removed and the last to be uploaded. None: there is none.
  """
  if buckets.holds(folder):
    with scratch() as local:
      yield local
      buckets.remove(folder, first=last)
      buckets.upload_folder(local, folder, last)
    return
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


@contextlib.contextmanager
def uploaded(folder: Path) -> Iterator[Path]:
  """A folder on the local disk; what the block writes is added to a bucket's."""
  with scratch() as new:
    yield new
    buckets.upload_folder(new, folder, None)


@contextlib.contextmanager
def scratch() -> Iterator[epath.Path]:
  """An empty folder on the local disk, removed when the block ends."""
  with tempfile.TemporaryDirectory(prefix="crab_jax-") as folder:
    yield epath.Path(folder)


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
  # A kill may have left it, and no folder can be renamed to one with content.
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
  if buckets.holds(folder):
    return  # a bucket has none: they are what names have in common
  folder.mkdir(parents=True, exist_ok=True)


def why_not_writable(folder: Path) -> str:
  """Makes a folder, and says why nothing can be written into it; "": it can."""
  if buckets.holds(folder):
    probe = folder / f".writable-{uuid.uuid4().hex[:8]}"
    try:
      buckets.write(probe, b"")
      buckets.remove(probe)
    except (OSError, errors.UserError) as error:
      return str(error)
    return ""
  try:
    make_folder(folder)
  except OSError as error:
    return error.strerror or str(error)
  return "" if os.access(folder, os.W_OK | os.X_OK) else "not allowed"


class Growing:
  """A file that is written over several starts, under the name {name}.part.

  What was written is there after a kill of the process, at worst but for a
  last piece that is cut off. The file gets its name by `finish`. That of a
  bucket grows on the local disk: only there the next start finds the part.
  """

  def __init__(self, path: Path, keep: int | None = None):
    """Opens the part.

    Args:
      path: the name of the finished file.
      keep: bytes of the part that are good; it goes on behind them. None: all.
    """
    self._path = path
    make_folder(part_of(path).parent)
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
    if buckets.holds(self._path):
      buckets.upload(part_of(self._path), self._path)
      remove(part_of(self._path))
    else:
      os.replace(part_of(self._path), self._path)


def part_of(path: Path) -> Path:
  """The part of a `Growing` file."""
  if buckets.holds(path):
    # The same for every start, and nobody else's.
    own = f"crab_jax-{os.getuid()}"
    bucket, key = buckets.bucket_of(path), buckets.key_of(path)
    top = epath.Path(tempfile.gettempdir()) / own / bucket
    return top / (key + _PART)
  return path.with_name(path.name + _PART)


def append(path: Path, data: bytes) -> None:
  """Appends to a log, which one process writes; made if need be."""
  if buckets.holds(path):
    buckets.append(path, data)
    return
  with open(path, "ab") as file:
    file.write(data)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
  """Holds a lock file; it is free again at the end or when the process dies.

  Raises:
    Locked: another process holds it.
  """
  if buckets.holds(path):
    try:
      with buckets.lock(path):
        yield
    except buckets.Held as error:
      raise Locked(os.fspath(path)) from error
    return
  # The file is never removed: else two processes could lock two files that had
  # the same name one after the other.
  with open(path, "w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise Locked(os.fspath(path)) from error
    yield


def claim(path: Path, text: str) -> bool:
  """Makes a file that is not there; of all who try, one gets True."""
  if buckets.holds(path):
    return buckets.claim(path, text.encode())
  try:
    with open(path, "x", encoding="utf-8") as file:
      file.write(text)
  except FileExistsError:
    return False
  return True


def touch(path: Path) -> None:
  """Makes the `age` of a file zero."""
  if buckets.holds(path):
    buckets.touch(path)
    return
  os.utime(path)


def age(path: Path) -> float:
  """Seconds since a file was written or touched."""
  if buckets.holds(path):
    return buckets.age(path)
  return time.time() - os.stat(path).st_mtime


def remove(path: Path) -> None:
  """Removes a file, or a folder and all in it; neither need be there."""
  if buckets.holds(path):
    buckets.remove(path)
    return
  if os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


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


def link(source: Path, path: Path) -> None:
  """A second name of a file, or a copy where the disk has no hard links."""
  try:
    os.link(source, path)
  except OSError:
    copy(source, path)


def is_same(one: Path, other: Path) -> bool:
  """Whether two paths lead to the same file or folder; both are there."""
  if buckets.holds(one) or buckets.holds(other):
    return os.fspath(one) == os.fspath(other)
  return os.path.samefile(one, other)


def is_file(path: Path) -> bool:
  """Whether there is a file; of a bucket cheaper than `path.is_file()`."""
  return buckets.is_object(path) if buckets.holds(path) else path.is_file()


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


def read_bytes(path: Path) -> bytes:
  """The content of a file; of a bucket in one request."""
  return buckets.read(path) if buckets.holds(path) else path.read_bytes()


def reading(path: str | os.PathLike[str]) -> io.BufferedIOBase:
  """A file opened for reading its bytes from the beginning."""
  return buckets.reading(path) if buckets.holds(path) else open(path, "rb")


class Ranges:
  """Pieces of one file, read by their offset; a context manager."""

  def __init__(self, path: Path):
    self._path = path
    self._file = None if buckets.holds(path) else os.open(path, os.O_RDONLY)

  def read(self, start: int, count: int) -> bytes:
    """`count` bytes from `start` on, fewer at the end of the file."""
    if self._file is None:  # a request a piece
      return buckets.read(self._path, start, start + count)
    # Not seek and read: the threads of a reader share the descriptor.
    return os.pread(self._file, count, start)

  def __enter__(self) -> "Ranges":
    return self

  def __exit__(self, *_) -> None:
    if self._file is not None:
      os.close(self._file)


class Copies:
  """Files where a library that knows no bucket can open them.

  Those of a disk lie there already. Of a bucket's the last few are kept on the
  local disk until the object is collected.
  """

  def __init__(self, keep: int = 8):
    self._keep = keep
    self._folder: tempfile.TemporaryDirectory | None = None
    self._found: dict[str, epath.Path] = {}

  def __call__(self, path: Path) -> Path:
    """A local file with the content of `path`, and with its ending.

    Of a missing one `path` itself: there is no file of that name.
    """
    if not buckets.holds(path):
      return path
    name = os.fspath(path)
    if name in self._found:
      return self._found[name]
    if self._folder is None:
      self._folder = tempfile.TemporaryDirectory(prefix="crab_jax-")
    # With its ending: some readers go by it.
    local = epath.Path(self._folder.name) / buckets.key_of(name)
    make_folder(local.parent)
    try:
      buckets.download(name, os.fspath(local))
    except FileNotFoundError:
      return path
    while len(self._found) >= self._keep:
      os.unlink(self._found.pop(next(iter(self._found))))
    self._found[name] = local
    return local


@contextlib.contextmanager
def local_folder(folder: Path) -> Iterator[Path]:
  """A folder, or a file, on a disk; of a bucket's a copy, for as long."""
  if not buckets.holds(folder):
    yield folder
    return
  with scratch() as top:
    local = top / folder.name
    found = buckets.sizes(folder, "*")
    for name in found:
      make_folder((local / name).parent)
      buckets.download(folder / name, os.fspath(local / name))
    if not found and folder.is_file():
      buckets.download(folder, os.fspath(local))
    yield local


def store(folder: Path) -> dict[str, str]:
  """A folder in the words of tensorstore's `kvstore`."""
  if buckets.holds(folder):
    bucket, key = buckets.bucket_of(folder), buckets.key_of(folder)
    return {"driver": "gcs", "bucket": bucket, "path": f"{key}/"}
  return {"driver": "file", "path": f"{folder}/"}

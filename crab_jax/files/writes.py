"""One file, whole or not at all.

It is written under another name beside its own and renamed.
"""

import contextlib
import fcntl
import io
import os
import shutil
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from crab_jax import buckets
from crab_jax.files import json_values
from crab_jax.files import paths
from crab_jax.files import reads


def write_bytes(path: paths.Path, data: bytes, *, sync: bool = False) -> None:
  """Writes a file whole or not at all; see `writing`."""
  if buckets.holds(path):
    buckets.write(path, data)
    return
  with writing(path, sync=sync) as file:
    file.write(data)


def write_text(path: paths.Path, text: str) -> None:
  """Writes UTF-8 text, whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: paths.Path, value: Any, *, sync: bool = False) -> None:
  """Writes one JSON value (`json_document`), whole or not at all."""
  write_bytes(path, json_values.json_document(value), sync=sync)


def write_json_lines(path: paths.Path, values: Iterable[Any]) -> None:
  """Writes a JSON value a line, whole or not at all."""
  with writing(path) as file:
    file.writelines(map(json_values.json_line, values))


@contextlib.contextmanager
def writing(
  path: paths.Path, *, sync: bool = False
) -> Iterator[io.BufferedWriter]:
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
  new = name + paths.NEW
  while True:
    # Not `open(new, "wb")`, which empties the file before it is locked.
    file = os.fdopen(os.open(new, os.O_RDWR | os.O_CREAT, 0o666), "wb")
    try:
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: a name of its own
      file.close()
      os.unlink(new)
      new = f"{name}.{uuid.uuid4().hex}{paths.NEW}"
      return new, open(new, "xb")
    try:
      # Whoever held the lock before may have renamed or removed the file.
      if os.path.samestat(os.stat(new), os.fstat(file.fileno())):
        file.truncate()
        return new, file
    except FileNotFoundError:
      pass
    file.close()


def copy(source: paths.Path, path: paths.Path) -> None:
  """Copies a file, whole or not at all."""
  with reads.reading(source) as old, writing(path) as new:
    shutil.copyfileobj(old, new)


def link(source: paths.Path, path: paths.Path) -> None:
  """A second name of a file, or a copy where the disk has no hard links."""
  try:
    os.link(source, path)
  except OSError:
    copy(source, path)

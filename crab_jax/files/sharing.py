"""One process of many: locks, claims and their age."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from crab_jax import buckets
from crab_jax.files import bucket_locks
from crab_jax.files import paths


class Locked(Exception):
  """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: paths.Path) -> Iterator[None]:
  """Holds a lock file; it is free again at the end or when the process dies.

  Raises:
    Locked: another process holds it.
  """
  if buckets.holds(path):
    try:
      with bucket_locks.lock(path):
        yield
    except bucket_locks.Held as error:
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


def claim(path: paths.Path, text: str) -> bool:
  """Makes a file that is not there; of all who try, one gets True."""
  if buckets.holds(path):
    return buckets.claim(path, text.encode())
  try:
    with open(path, "x", encoding="utf-8") as file:
      file.write(text)
  except FileExistsError:
    return False
  return True


def touch(path: paths.Path) -> None:
  """Makes the `age` of a file zero."""
  if buckets.holds(path):
    buckets.touch(path)
    return
  os.utime(path)


def age(path: paths.Path) -> float:
  """Seconds since a file was written or touched."""
  if buckets.holds(path):
    return buckets.age(path)
  return time.time() - os.stat(path).st_mtime

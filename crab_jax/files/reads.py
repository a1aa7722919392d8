"""What is read: a file, pieces of a large one, copies for other libraries."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator

from etils import epath

from crab_jax import buckets
from crab_jax.files import folders
from crab_jax.files import paths


def read_bytes(path: paths.Path) -> bytes:
  """The content of a file; of a bucket in one request."""
  return buckets.read(path) if buckets.holds(path) else path.read_bytes()


def reading(path: str | os.PathLike[str]) -> io.BufferedIOBase:
  """A file opened for reading its bytes from the beginning."""
  return buckets.reading(path) if buckets.holds(path) else open(path, "rb")


class Ranges:
  """Pieces of one file, read by their offset; a context manager."""

  def __init__(self, path: paths.Path):
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

  def __call__(self, path: paths.Path) -> paths.Path:
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
    folders.make_folder(local.parent)
    try:
      buckets.download(name, os.fspath(local))
    except FileNotFoundError:
      return path
    while len(self._found) >= self._keep:
      os.unlink(self._found.pop(next(iter(self._found))))
    self._found[name] = local
    return local


@contextlib.contextmanager
def local_folder(folder: paths.Path) -> Iterator[paths.Path]:
  """A folder, or a file, on a disk; of a bucket's a copy, for as long."""
  if not buckets.holds(folder):
    yield folder
    return
  with folders.scratch() as top:
    local = top / folder.name
    found = buckets.sizes(folder, "*")
    for name in found:
      folders.make_folder((local / name).parent)
      buckets.download(folder / name, os.fspath(local / name))
    if not found and folder.is_file():
      buckets.download(folder, os.fspath(local))
    yield local


def store(folder: paths.Path) -> dict[str, str]:
  """A folder in the words of tensorstore's `kvstore`."""
  if buckets.holds(folder):
    bucket, key = buckets.bucket_of(folder), buckets.key_of(folder)
    return {"driver": "gcs", "bucket": bucket, "path": f"{key}/"}
  return {"driver": "file", "path": f"{folder}/"}

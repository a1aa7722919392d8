"""Files that grow: in parts over several starts, or line by line."""

import os
import tempfile

from etils import epath

from crab_jax import buckets
from crab_jax.files import folders
from crab_jax.files import paths

_PART = ".part"


class Growing:
  """A file that is written over several starts, under the name {name}.part.

  What was written is there after a kill of the process, at worst but for a
  last piece that is cut off. The file gets its name by `finish`. That of a
  bucket grows on the local disk: only there the next start finds the part.
  """

  def __init__(self, path: paths.Path, keep: int | None = None):
    """Opens the part.

    Args:
      path: the name of the finished file.
      keep: bytes of the part that are good; it goes on behind them. None: all.
    """
    self._path = path
    folders.make_folder(part_of(path).parent)
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
      folders.remove(part_of(self._path))
    else:
      os.replace(part_of(self._path), self._path)


def part_of(path: paths.Path) -> paths.Path:
  """The part of a `Growing` file."""
  if buckets.holds(path):
    # The same for every start, and nobody else's.
    own = f"crab_jax-{os.getuid()}"
    bucket, key = buckets.bucket_of(path), buckets.key_of(path)
    top = epath.Path(tempfile.gettempdir()) / own / bucket
    return top / (key + _PART)
  return path.with_name(path.name + _PART)


def append(path: paths.Path, data: bytes) -> None:
  """Appends to a log, which one process writes; made if need be."""
  if buckets.holds(path):
    buckets.append(path, data)
    return
  with open(path, "ab") as file:
    file.write(data)

"""Folders, and the files of one that belong together: whole or not at all.

They are filled under another name beside their own and renamed. In a bucket,
which cannot rename, the file by which readers know a whole one comes last.
"""

import contextlib
import ctypes
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from collections.abc import Mapping

from etils import epath

from crab_jax import buckets
from crab_jax import errors
from crab_jax.files import paths

_OLD = ".replaced"
_AT_CWD = -100  # of renameat2: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2


def make_folder(folder: paths.Path) -> None:
  """Makes a folder and those above it, where they are missing."""
  if buckets.holds(folder):
    return  # a bucket has none: they are what names have in common
  folder.mkdir(parents=True, exist_ok=True)


def why_not_writable(folder: paths.Path) -> str:
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


def remove(path: paths.Path) -> None:
  """Removes a file, or a folder and all in it; neither need be there."""
  if buckets.holds(path):
    buckets.remove(path)
    return
  if os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


@contextlib.contextmanager
def new_folder(
  folder: paths.Path, last: str | None = None
) -> Iterator[paths.Path]:
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
  begun = folder.name + paths.NEW
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


def replace_folder(new: paths.Path, folder: paths.Path) -> None:
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


def _exchange(one: paths.Path, other: paths.Path) -> bool:
  """Exchanges two names at once; False: it cannot be done here."""
  try:
    rename = ctypes.CDLL(None, use_errno=True).renameat2  # Python has no name
  except (AttributeError, OSError):  # not Linux
    return False
  names = (os.fsencode(one), os.fsencode(other))
  return rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0


def begun_folder(folder: paths.Path, last: str) -> paths.Path:
  """Where several hosts write a folder together before `finish_folder`.

  One of them calls this. On a disk it is another folder beside it. In a bucket,
  which cannot rename, it is the folder itself: what was there is removed, the
  file `last` first, by which readers know a whole one.
  """
  if buckets.holds(folder):
    buckets.remove(folder, first=last)
    return folder
  new = folder.with_name(folder.name + paths.NEW)
  remove(new)
  make_folder(new)
  return new


def begun(folder: paths.Path) -> paths.Path:
  """The name of what `begun_folder` made, for the other hosts."""
  if buckets.holds(folder):
    return folder
  return folder.with_name(folder.name + paths.NEW)


def finish_folder(new: paths.Path, folder: paths.Path) -> None:
  """Gives a folder of `begun_folder` its name; its file `last` is there."""
  if not buckets.holds(folder):
    replace_folder(new, folder)


def write_together(
  folder: paths.Path, contents: Mapping[str, bytes], *, last: str
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
  new = folder / f"{paths.NEW}-{uuid.uuid4().hex[:8]}"
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
    _remove_begun(folder, paths.NEW)  # this one, and what a kill left


def _remove_begun(folder: paths.Path, prefix: str) -> None:
  """Removes folders that were not finished."""
  for path in paths.listing(folder):
    if path.name.startswith(prefix):
      shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def uploaded(folder: paths.Path) -> Iterator[paths.Path]:
  """A folder on the local disk; what the block writes is added to a bucket's."""
  with scratch() as new:
    yield new
    buckets.upload_folder(new, folder, None)


@contextlib.contextmanager
def scratch() -> Iterator[epath.Path]:
  """An empty folder on the local disk, removed when the block ends."""
  with tempfile.TemporaryDirectory(prefix="crab_jax-") as folder:
    yield epath.Path(folder)

"""What is done of a study, and who is at work on what.

A folder that several machines may share:

  {folder}/runs/{name}.json     a finished run, written at once and for good
  {folder}/claims/{name}@{number}.json   who is at work on it; touched while
                                they are. The highest number counts

A claim is a file that only one process can create. One that has not touched its
claim for `expiry` seconds has lost it, and so has at once one that was killed,
where that can be seen (see `processes`). The run is begun again by whoever asks
next, under the next number. Needs a file system where creating a file is
exclusive and renaming atomic (a local disk, NFS, Lustre, gs://; not a
mounted bucket),
and clocks that agree to within the expiry.
"""

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator

from crab_jax import errors
from crab_jax import files
from crab_jax import processes

_BEAT = 0.2  # of the expiry, between two touches of a claim


class Manifest:
  """The folder of a study.

  Args:
    folder: made if need be.
    expiry: seconds after which a silent claim is lost.
  """

  def __init__(self, folder: files.Path, expiry: float):
    # Studies that began with an earlier version have their runs in "cells".
    earlier = folder / "cells"
    self._runs = earlier if earlier.is_dir() else folder / "runs"
    self._claims = folder / "claims"
    self._expiry = expiry
    self._own: dict[str, files.Path] = {}  # this process's claims
    try:
      for path in (self._runs, self._claims):
        files.make_folder(path)
    except OSError as error:
      raise errors.UserError(f"cannot write to {folder}: {error}") from error

  def result(self, name: str) -> dict | None:
    """The result of a finished run, or None.

    Raises:
      UserError: its file is damaged.
    """
    path = self._runs / f"{name}.json"
    try:
      return json.loads(path.read_text())
    except FileNotFoundError:
      return None
    except ValueError as error:
      raise errors.UserError(
        f"{path} is damaged ({error}); remove it, and the run is trained again"
      ) from error

  def save(self, name: str, result: dict) -> None:
    """Writes a finished run, whole or not at all."""
    write_whole(self._runs / f"{name}.json", result)

  def claim(self, name: str) -> bool:
    """Takes a run for this process; False: another is at work on it.

    A lost claim is not taken away but outnumbered: of all who see it, one can
    make the file of the next number.
    """
    number = self._newest(name)
    # Removing a lost claim would race: two processes that saw it lost could
    # remove the new one of each other. Numbers only grow.
    if number and not self._is_lost(self._path(name, number)):
      return False
    path = self._path(name, number + 1)
    if not files.claim(path, json.dumps(dataclasses.asdict(processes.me()))):
      return False
    self._own[name] = path
    return True

  def release(self, name: str) -> None:
    """Gives this process's claim back; lost ones before it go with it."""
    own = self._own.pop(name)
    for number in range(int(own.stem.rpartition("@")[2]), 0, -1):
      files.remove(self._path(name, number))

  @contextlib.contextmanager
  def holding(self, name: str) -> Iterator[None]:
    """Keeps this process's claim alive, and gives it back at the end."""
    ended = threading.Event()
    path = self._own[name]

    def beat():
      while not ended.wait(self._expiry * _BEAT):
        with contextlib.suppress(OSError):  # tries again at the next beat
          files.touch(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
      yield
    finally:
      ended.set()
      thread.join()
      self.release(name)

  def running(self, name: str) -> bool:
    """Whether a live machine is at work on a run."""
    number = self._newest(name)
    return number > 0 and not self._is_lost(self._path(name, number))

  def _path(self, name: str, number: int) -> files.Path:
    return self._claims / f"{name}@{number}.json"

  def _newest(self, name: str) -> int:
    """The number of the newest claim of a run; 0: there is none."""
    found = files.listing(self._claims, f"{name}@*.json")
    return max((int(p.stem.rpartition("@")[2]) for p in found), default=0)

  def _is_lost(self, path: files.Path) -> bool:
    try:
      return files.age(path) > self._expiry or _holder_is_gone(path)
    except FileNotFoundError:
      return False  # given back between the listing and this


def write_whole(path: files.Path, content: dict) -> None:
  """Writes JSON at once: nobody finds half of it.

  Raises:
    UserError: the folder cannot be written.
  """
  try:
    files.write_json(path, content)
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error}") from error


def _holder_is_gone(path: files.Path) -> bool:
  """Whether the process that made a claim is known to have ended."""
  try:
    return processes.Process(**json.loads(path.read_text())).is_gone
  except (ValueError, TypeError):
    return False  # it is being written, or was cut off

"""What is done of a study, who is at work on what, and what is left.

A folder that several machines may share:

  {folder}/cells/{name}.json    a finished cell, written at once and for good
  {folder}/claims/{name}@{number}.json   who is at work on it; touched while
                                they are. The highest number counts

A claim is a file that only one process can create. One that has not touched its
claim for `expiry` seconds has lost it, and so has at once one that was killed,
where that can be seen (see `claimant`): the cell is begun again by whoever asks
next, under the next number. Needs a file system where creating a file is
exclusive and renaming atomic (a local disk, NFS, Lustre; not a mounted bucket),
and clocks that agree to within the expiry.
"""

import contextlib
import dataclasses
import json
import statistics
import threading
from collections.abc import Iterable
from collections.abc import Iterator

from crab_jax import errors
from crab_jax import files
from crab_jax.ablation import worker

_BEAT = 0.2  # of the expiry, between two touches of a claim


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a study is.

  Attributes:
    done, running, left: names of cells. Running: claimed by a live machine.
    seconds: estimated time of all that is not done, one cell at a time; None
      before anything is done.
  """

  done: tuple[str, ...]
  running: tuple[str, ...]
  left: tuple[str, ...]
  seconds: float | None


class Ledger:
  """The folder of a study.

  Args:
    folder: made if need be.
    expiry: seconds after which a silent claim is lost.
  """

  def __init__(self, folder: files.Path, expiry: float):
    self._cells, self._claims = folder / "cells", folder / "claims"
    self._expiry = expiry
    self._own: dict[str, files.Path] = {}  # this process's claims
    try:
      for place in (self._cells, self._claims):
        files.make_folder(place)
    except OSError as error:
      raise errors.UserError(f"cannot write to {folder}: {error}") from error

  def result(self, name: str) -> dict | None:
    """What a finished cell left, or None.

    Raises:
      UserError: its file is damaged.
    """
    path = self._cells / f"{name}.json"
    try:
      return json.loads(path.read_text())
    except FileNotFoundError:
      return None
    except ValueError as error:
      raise errors.UserError(
        f"{path} is damaged ({error}); remove it, and the cell is trained again"
      ) from error

  def keep(self, name: str, result: dict) -> None:
    """Writes a finished cell, whole or not at all."""
    write_whole(self._cells / f"{name}.json", result)

  def claim(self, name: str) -> bool:
    """Takes a cell for this process; False: another is at work on it.

    A lost claim is not taken away but outnumbered: of all who see it, one can
    make the file of the next number.
    """
    number = self._newest(name)
    if number and not self._is_lost(self._path(name, number)):
      return False
    path = self._path(name, number + 1)
    if not files.claim(path, json.dumps(dataclasses.asdict(worker.me()))):
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
    over = threading.Event()
    path = self._own[name]

    def beat():
      while not over.wait(self._expiry * _BEAT):
        with contextlib.suppress(OSError):  # tries again at the next beat
          files.touch(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
      yield
    finally:
      over.set()
      thread.join()
      self.release(name)

  def running(self, name: str) -> bool:
    """Whether a live machine is at work on a cell."""
    number = self._newest(name)
    return number > 0 and not self._is_lost(self._path(name, number))

  def _path(self, name: str, number: int) -> files.Path:
    return self._claims / f"{name}@{number}.json"

  def _newest(self, name: str) -> int:
    """The number of the newest claim of a cell; 0: there is none."""
    found = files.listing(self._claims, f"{name}@*.json")
    return max((int(p.stem.rpartition("@")[2]) for p in found), default=0)

  def _is_lost(self, path: files.Path) -> bool:
    try:
      return files.age(path) > self._expiry or _holder_is_gone(path)
    except FileNotFoundError:
      return False  # given back just now

  def progress(self, steps: dict[str, int]) -> Progress:
    """How far a study is.

    Args:
      steps: name -> updates of every cell.
    """
    results = {name: self.result(name) for name in steps}
    done = {name: found for name, found in results.items() if found is not None}
    running = [n for n in steps if n not in done and self.running(n)]
    left = [n for n in steps if n not in done and n not in running]
    spent = [(found, steps[name]) for name, found in done.items()]
    ahead = [*running, *left]
    return Progress(
      tuple(done), tuple(running), tuple(left), _estimate(spent, ahead, steps)
    )


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
    return worker.Claimant(**json.loads(path.read_text())).is_gone
  except (ValueError, TypeError):
    return False  # it is being written, or was cut off


def _estimate(
  spent: list[tuple[dict, int]], ahead: Iterable[str], steps: dict[str, int]
) -> float | None:
  """Seconds that the cells ahead take, by the median time of a step.

  The first cell of a method compiles its programs; the median forgets it.
  """
  if not spent:
    return None
  each = statistics.median(r["seconds"] / number for r, number in spent)
  return each * sum(steps[name] for name in ahead)


def in_words(seconds: float | None) -> str:
  """A duration for people."""
  if seconds is None:
    return "unknown until a cell is done"
  minutes = round(seconds / 60)
  return (
    f"{minutes // 60} h {minutes % 60} min"
    if minutes >= 60
    else f"{minutes} min"
  )

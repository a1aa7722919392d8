"""Compiled programs: a cache on disk, and a warning of late compilations."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax
from absl import logging

from crab_jax import errors
from crab_jax import files

OFF = "off"  # in place of a folder: keep nothing
_COMPILED = "/jax/core/compile/backend_compile_duration"
_MOST = 2 * 2**30  # bytes in the user's folder
_SHOWN = 5  # differences in a warning


def keep_in(folder: files.Path) -> None:
  """Reads compiled programs from a folder, and writes new ones there.

  A start after a preemption then compiles nothing that took over a second
  before. Several processes may share the folder. An entry that a kill cut off
  is compiled again, with a warning of jax.
  """
  files.make_folder(folder)
  jax.config.update("jax_compilation_cache_dir", str(files.absolute(folder)))


def keep_for_workdir(wanted: str | None, folder: files.Path) -> None:
  """Keeps what a training compiles, see `keep_in`.

  Args:
    wanted: a folder, or `OFF`; None: the one that jax has been told, if any,
      else `folder`.
    folder: in the work directory, which outlives a machine.
  """
  if not _is_settled(wanted):
    keep_in(folder if wanted is None else files.path(wanted))


def _is_settled(wanted: str | None) -> bool:
  """Whether nothing is to be kept, or jax has been told where."""
  if wanted == OFF:
    jax.config.update("jax_compilation_cache_dir", None)
    return True
  told = jax.config.values["jax_compilation_cache_dir"] is not None
  return told and wanted is None


def keep(wanted: str | None) -> None:
  """Keeps what a command without a work directory compiles: all of it.

  A second call with the same shapes then compiles nothing. Where jax has been
  told a folder (JAX_COMPILATION_CACHE_DIR) and none is wanted, that one stays.

  Args:
    wanted: a folder, or `OFF`; None: one of the user, if it can be written.

  Raises:
    UserError: the folder that is wanted cannot be written.
  """
  if _is_settled(wanted):
    return
  folder = _user_folder() if wanted is None else files.path(wanted)
  if why := files.why_not_writable(folder):
    if wanted is not None:
      raise errors.UserError(f"--compiled={wanted} cannot be written: {why}")
    logging.warning("compiled programs are not kept in %s: %s", folder, why)
    return
  if wanted is None:
    _trim(folder)
  keep_in(folder)
  # Else jax keeps what took a second: hundreds of small programs take seconds.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _user_folder() -> files.Path:
  """The folder of this user; it holds code, so nobody else may write to it."""
  base = os.environ.get("XDG_CACHE_HOME", "")
  if not os.path.isabs(base):  # the XDG specification: as if it was not set
    base = os.path.join(os.path.expanduser("~"), ".cache")
  return files.path(os.path.join(base, "crab_jax", "compiled"))


def _trim(folder: files.Path) -> None:
  """Removes the oldest programs, of other versions and models, above `_MOST`.

  Another process may do so too; what it still wants it compiles.
  """
  # jax's name of a program; beside it KEY-atime says when it was used.
  stamps = {
    path: files.stamp(path) for path in files.listing(folder, "*-cache")
  }
  entries = {path: stamp for path, stamp in stamps.items() if stamp}
  total = sum(size for size, _ in entries.values())
  for path in sorted(entries, key=lambda path: entries[path][1]):
    if total <= _MOST:
      break
    files.remove(path)
    total -= entries[path][0]


@contextlib.contextmanager
def durations() -> Iterator[list[float]]:
  """Seconds of every compilation inside the block, as they end."""
  found: list[float] = []

  def note(event: str, duration_secs: float, **_) -> None:
    if event == _COMPILED:
      found.append(duration_secs)

  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    yield found
  finally:
    jax.monitoring.unregister_event_duration_listener(note)


def _shapes(tree) -> dict[str, str]:
  """Path of a leaf -> its dtype, shape and sharding."""

  def describe(leaf):
    where = getattr(leaf, "sharding", None)
    spec = "" if where is None else f" {getattr(where, 'spec', where)}"
    weak = " weak" if getattr(leaf, "weak_type", False) else ""
    return f"{leaf.dtype}{list(leaf.shape)}{weak}{spec}"

  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): describe(leaf) for path, leaf in leaves}


def difference(before: dict[str, str], now: dict[str, str]) -> str:
  """What changed between the arguments of two calls, a few leaves."""
  changed = [
    f"{path}: {before.get(path, 'absent')} -> {now.get(path, 'absent')}"
    for path in sorted(before.keys() | now.keys())
    if before.get(path) != now.get(path)
  ]
  if not changed:
    return "its arguments are those of the first step"
  more = len(changed) - _SHOWN
  tail = f"; and {more} more" if more > 0 else ""
  return "; ".join(changed[:_SHOWN]) + tail


class Monitor:
  """A callback that warns when the step compiles after it has run before.

  Such a compilation stops all devices for minutes; it means that the shape or
  the sharding of an argument changed.
  """

  def __init__(self, stage: str):
    self._stage = stage
    self._seconds = 0.0
    self._first: dict[str, str] | None = None
    jax.monitoring.register_event_duration_secs_listener(self._note)

  def _note(self, event: str, duration_secs: float, **_) -> None:
    if event == _COMPILED:
      self._seconds += duration_secs

  def before_step(self, step: int) -> None:
    """Just before a step."""
    del step
    self._seconds = 0.0

  def after_step(self, step: int, arguments: Any, sums: Any) -> None:
    """Just after it; compares shapes alone, as the state is donated by now."""
    del sums
    if self._first is None:
      self._first = _shapes(arguments)
    elif self._seconds:
      logging.warning(
        "stage %s, step %d: the step was compiled again (%.1f s): %s",
        self._stage,
        step,
        self._seconds,
        difference(self._first, _shapes(arguments)),
      )

  def close(self) -> None:
    jax.monitoring.unregister_event_duration_listener(self._note)

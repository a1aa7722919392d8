"""Checkpoints of a stage, so that a stopped run goes on bit for bit.

One holds the state (trainable leaves, optimizer state, step) and the position of the
data iterator of every host. It is never found half written: it is complete when
its `commit_success.txt` is there, which is written last, for a folder cannot be
renamed in one go on a mounted bucket. Arrays that lie on several hosts are
written and read by all of them, each its own parts; the hosts must see the same
folder. What is kept of a model for good is a `model_folder`.
"""

import base64
import contextlib
import dataclasses
from typing import Any

import jax
import orbax.checkpoint as ocp

from crab_jax import errors
from crab_jax import files
from crab_jax.training import hosts
from crab_jax.training import state as state_lib
from crab_jax.training import unreadable


class StageCheckpoints:
  """The checkpoints of one stage, `{folder}/{step}`."""

  def __init__(self, folder: files.Path, keep: int):
    files.make_folder(folder)
    # One host removes what a kill cut off, and all wait: they must find the
    # same newest step.
    if hosts.is_first():
      _drop_unfinished(folder)
    hosts.barrier(f"checkpoints in {folder.name} are read")
    atomicity = ocp.path.atomicity
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      enable_async_checkpointing=True,
      # Not orbax's renaming: a mounted bucket would copy file by file.
      temporary_path_class=atomicity.CommitFileTemporaryPath,
    )
    self._manager = ocp.CheckpointManager(
      files.absolute(folder), options=options
    )
    self._folder = folder

  def latest(self) -> int | None:
    """Step of the newest complete checkpoint, or None."""
    return self._manager.latest_step()

  def save(self, state: state_lib.State, data: bytes, note: dict) -> None:
    """Writes in the background; a write that failed before raises here.

    Args:
      state: on one device or sharded; saved under its step.
      data: position of this host's data iterator.
      note: JSON values to keep beside it.

    Raises:
      UserError: the disk is full or the folder cannot be written.
    """
    step = int(jax.device_get(state.step))
    name = f"data position of {self._folder.name}, step {step}"
    # All positions in one note: a start on other hosts needs every one of them.
    # As text, for the hosts' store and for JSON.
    everyones = hosts.exchange(name, base64.b64encode(data).decode())
    note = {**note, "data": everyones}
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state), note=ocp.args.JsonSave(note)
        ),
      )
    # tensorstore raises ValueError where a disk is full.
    except (OSError, ValueError) as error:
      self._fail(error)

  def wait(self) -> None:
    """Returns when all that was saved is on disk."""
    try:
      self._manager.wait_until_finished()
    except (OSError, ValueError) as error:
      self._fail(error)

  def restore(
    self, like: state_lib.State
  ) -> tuple[state_lib.State, list[bytes], dict]:
    """The newest checkpoint: state, data positions of all hosts, note.

    Args:
      like: a state of the same structure, shapes and shardings.

    Raises:
      UserError: it cannot be read, or an earlier version wrote it.
      ValueError: there is none.
    """
    step = self.latest()
    if step is None:
      raise ValueError("there is no checkpoint")
    with self._reads(step):
      self._check_shapes(step, like)
    wanted = ocp.args.Composite(
      state=ocp.args.StandardRestore(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
      ),
      note=ocp.args.JsonRestore(),
    )
    with self._reads(step):
      found = self._manager.restore(step, args=wanted)
    note = dict(found["note"])
    everyones = [base64.b64decode(data) for data in note.pop("data")]
    return found["state"], everyones, note

  def note(self) -> dict | None:
    """The JSON values beside the newest checkpoint; None if there is none.

    Raises:
      UserError: it cannot be read.
    """
    step = self.latest()
    if step is None:
      return None
    # Not the arrays beside it, which may be of many gigabytes.
    only = ocp.args.Composite(note=ocp.args.JsonRestore())
    with self._reads(step):
      return dict(self._manager.restore(step, args=only)["note"])

  def close(self) -> None:
    self.wait()
    self._manager.close()

  def _check_shapes(self, step: int, like: state_lib.State) -> None:
    # By the handler: the manager knows no item's kind before it restored one,
    # and a checkpointer warns of a file that only it writes.
    path = files.absolute(self._folder) / str(step) / "state"
    saved = ocp.StandardCheckpointHandler().metadata(path).tree
    # Orbax would tell of every leaf that differs, over pages.
    unknown = set(saved) - {field.name for field in dataclasses.fields(like)}
    if unknown:
      raise errors.UserError(
        f"{self._folder / str(step)} is of an earlier version, whose state had"
        f" {', '.join(sorted(unknown))}: go on with that version, or"
        " start in another --workdir"
      )
    theirs, ours = _shapes(saved), _shapes(like)
    for name in sorted({**theirs, **ours}):
      if theirs.get(name) != ours.get(name):
        raise errors.UserError(
          f"{self._folder / str(step)} does not fit the settings: {name} is"
          f" {theirs.get(name, 'absent')} in it and"
          f" {ours.get(name, 'absent')} by them; start in another --workdir"
        )

  def _reads(self, step: int) -> contextlib.AbstractContextManager[None]:
    remedy = (
      "if it is damaged, remove it and start again: the run goes on from the"
      " one before it"
    )
    return unreadable.as_user_error(self._folder / str(step), remedy)

  def _fail(self, error: Exception):
    raise errors.UserError(
      f"cannot write a checkpoint in {self._folder}: {error}; free some space"
      " and start again: the run goes on from the newest complete checkpoint"
    ) from error


def _shapes(tree: Any) -> dict[str, list[int]]:
  """Path -> shape of every array of a state, or of orbax's metadata of one."""
  flat = ocp.tree.to_flat_dict(tree, sep="/")
  return {path: list(leaf.shape) for path, leaf in flat.items()}


def _drop_unfinished(folder: files.Path) -> None:
  """Removes checkpoints that a kill cut off."""
  for path in files.listing(folder):
    marker = path / ocp.path.atomicity_types.COMMIT_SUCCESS_FILE
    if path.is_dir() and not marker.exists():
      files.remove(path)

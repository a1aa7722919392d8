"""Checkpoints: the only file that knows orbax.

A *stage checkpoint* holds the state (trainable leaves, moments, step) and the
position of the data iterator, so that a stopped run goes on bit for bit. A
*model folder* holds parameters for good: `params/`, `model.json` and what else
its writer lays beside them; `convert` writes the same.

Neither is ever found half written. A stage checkpoint is complete when its
`commit_success.txt` is there, which is written last: a folder cannot be renamed
in one go on a mounted bucket. A model folder is written under another name and
renamed. Arrays that lie on several hosts are written and read by all of them,
each its own parts; the hosts must see the same folder.
"""

import base64
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from absl import logging

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax.training import hosts
from crab_jax.training import state as state_lib

_MODEL_FILE = "model.json"


class StageCheckpoints:
  """The checkpoints of one stage, `{folder}/{step}`."""

  def __init__(self, folder: pathlib.Path, keep: int):
    folder.mkdir(parents=True, exist_ok=True)
    if hosts.is_first():
      _drop_unfinished(folder)
    hosts.barrier(f"checkpoints in {folder.name} are read")
    atomicity = ocp.path.atomicity
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      enable_async_checkpointing=True,
      temporary_path_class=atomicity.CommitFileTemporaryPath,
    )
    self._manager = ocp.CheckpointManager(folder.resolve(), options=options)
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
    everyones = hosts.exchange(name, base64.b64encode(data).decode())
    note = {**note, "data": everyones}
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state), note=ocp.args.JsonSave(note)
        ),
      )
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
  ) -> tuple[state_lib.State, bytes, dict]:
    """The newest checkpoint: state, data position, note.

    Args:
      like: a state of the same structure, shapes and shardings.
    """
    step = self.latest()
    found = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(
          jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        ),
        note=ocp.args.JsonRestore(),
      ),
    )
    note = dict(found["note"])
    everyones = note.pop("data")
    if len(everyones) != hosts.count():
      raise errors.UserError(
        f"{self._folder}/{step} was written by {len(everyones)} hosts and"
        f" cannot be continued by {hosts.count()}, as each has its own place"
        f" in the data: start {len(everyones)} hosts, or another --workdir"
      )
    return found["state"], base64.b64decode(everyones[hosts.index()]), note

  def note(self) -> dict | None:
    """The JSON values beside the newest checkpoint; None if there is none."""
    step = self.latest()
    if step is None:
      return None
    only = ocp.args.Composite(note=ocp.args.JsonRestore())
    return dict(self._manager.restore(step, args=only)["note"])

  def close(self) -> None:
    self.wait()
    self._manager.close()

  def _fail(self, error: Exception):
    raise errors.UserError(
      f"cannot write a checkpoint in {self._folder}: {error}; free some space"
      " and start again: the run goes on from the newest complete checkpoint"
    ) from error


def _drop_unfinished(folder: pathlib.Path) -> None:
  """Removes checkpoints that a kill cut off."""
  for path in folder.iterdir():
    marker = path / ocp.path.atomicity_types.COMMIT_SUCCESS_FILE
    if path.is_dir() and not marker.exists():
      shutil.rmtree(path)


def save_model(
  folder: pathlib.Path,
  params: array_types.Tree,
  model: configs.Model,
  files: dict[str, pathlib.Path],
) -> None:
  """Writes a model folder, `files` copied into it; replaces one there.

  Parameters that lie on several hosts are written by all of them together.
  """
  new = folder.with_name(folder.name + ".incomplete")
  if hosts.is_first():
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
  hosts.barrier(f"{folder.name} is to be written")
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(new.resolve() / "params", params)
  if hosts.is_first():
    _finish_model(new, folder, model, files)
  hosts.barrier(f"{folder.name} is written")


def _finish_model(new, folder, model, files) -> None:
  text = json.dumps(dataclasses.asdict(model), indent=2)
  (new / _MODEL_FILE).write_text(text)
  for name, path in files.items():
    shutil.copyfile(path, new / name)
  shutil.rmtree(folder, ignore_errors=True)
  new.rename(folder)


def load_model_config(folder: pathlib.Path) -> configs.Model:
  """The configuration of a model folder.

  Raises:
    UserError: the folder is none, or its file is damaged.
  """
  path = folder / _MODEL_FILE
  if not path.is_file():
    raise errors.UserError(f"{folder} is no model folder: {path} is missing")
  try:
    return _model(json.loads(path.read_text()))
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


def _model(fields: dict[str, Any]) -> configs.Model:
  parts = {
    "audio": configs.AudioTower,
    "vision": configs.VisionTower,
    "decoder": configs.Decoder,
    "adapter": configs.ILora,
  }
  for name, kind in parts.items():
    if fields.get(name) is not None:
      fields[name] = kind(
        **{
          key: tuple(value) if isinstance(value, list) else value
          for key, value in fields[name].items()
        }
      )
  return configs.Model(**fields)


def load_params(
  folder: pathlib.Path,
  place: Callable[[array_types.Tree], array_types.Tree] | None = None,
) -> array_types.Tree:
  """The parameters of a model folder.

  Args:
    folder: a model folder.
    place: shapes -> shapes with shardings (`Meshed.placed_shapes`): every host
      reads the parts of its devices. None: all, as numpy arrays.

  Raises:
    UserError: the folder holds no complete parameters.
  """
  path = folder / "params"
  if not path.is_dir():
    raise errors.UserError(f"{folder} is no model folder: {path} is missing")
  if place is None:
    return _as_numpy(path.resolve())
  with ocp.StandardCheckpointer() as checkpointer:
    found = checkpointer.metadata(path.resolve()).item_metadata.tree
    shapes = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(found)
    )
    return checkpointer.restore(path.resolve(), place(shapes))


def _as_numpy(path: pathlib.Path) -> array_types.Tree:
  """A tree of parameters, straight into the memory of this host.

  Not by way of the devices that it was saved from: they may be others.
  """
  with ocp.PyTreeCheckpointer() as checkpointer:
    saved = checkpointer.metadata(path).item_metadata.tree
    arguments = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), dict(saved)
    )
    return checkpointer.restore(path, restore_args=arguments)


# ---- writing a model larger than memory, for `convert` ----


@runtime_checkable  # by the type checks of the tests
class StreamedLeaf(Protocol):
  """A parameter that reads itself block by block (`weights.base.Leaf`)."""

  shape: tuple[int, ...]
  dtype: np.dtype
  chunk: tuple[int, ...]  # shape of what lies in one file

  def blocks(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """(start, values) of blocks that lie on the grid of `chunk`."""


def save_model_streaming(
  folder: pathlib.Path,
  leaves: dict[str, StreamedLeaf],
  model: configs.Model,
  files: dict[str, str],
) -> None:
  """Writes a model folder block by block; replaces one that is there.

  Orbax writes the tree with a scalar in the place of every parameter, and
  tensorstore then puts the arrays where the scalars were, in the same format
  (zarr): orbax itself would hold a copy of each whole parameter.

  Args:
    folder: to write; what `load_params` and `load_model_config` read.
    leaves: by parameter path, "a/b/c".
    model: the configuration.
    files: text files to lay beside it.

  Raises:
    UserError: `folder` is something else, a block cannot be read or the disk
      is full; nothing is left behind.
  """
  check_replaceable(folder)
  new = folder.with_name(folder.name + ".incomplete")
  shutil.rmtree(new, ignore_errors=True)
  try:
    new.mkdir(parents=True)
    _write_skeleton(new.resolve() / "params", leaves)
    for path, leaf in leaves.items():
      _write_leaf(new.resolve() / "params" / path.replace("/", "."), leaf)
    files = {
      **files,
      _MODEL_FILE: json.dumps(dataclasses.asdict(model), indent=2),
    }
    for name, text in files.items():
      (new / name).write_text(text)
    if folder.exists():
      shutil.rmtree(folder)
    new.rename(folder)
  except (OSError, ValueError) as error:  # tensorstore raises ValueError
    raise errors.UserError(f"cannot write {folder}: {error}") from error
  finally:
    shutil.rmtree(new, ignore_errors=True)


def check_replaceable(folder: pathlib.Path) -> None:
  """Lets a model folder, an empty one or nothing be overwritten.

  Raises:
    UserError: `folder` holds something else.
  """
  if not folder.exists() or (folder / _MODEL_FILE).is_file():
    return
  if not folder.is_dir() or any(folder.iterdir()):
    raise errors.UserError(
      f"{folder} exists and is no model folder; choose another name"
    )


def _write_skeleton(
  path: pathlib.Path, leaves: dict[str, StreamedLeaf]
) -> None:
  flat = {name: np.zeros((), leaf.dtype) for name, leaf in leaves.items()}
  tree = flax.traverse_util.unflatten_dict(flat, sep="/")
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)  # it warns of what it need not merge
  try:
    with ocp.Checkpointer(handler) as checkpointer:
      checkpointer.save(path, args=ocp.args.PyTreeSave(tree))
  finally:
    logging.set_verbosity(verbosity)


def _write_leaf(path: pathlib.Path, leaf: StreamedLeaf) -> None:
  spec = {
    "driver": "zarr",
    "kvstore": {"driver": "file", "path": str(path)},
    "metadata": {
      "shape": leaf.shape,
      "chunks": leaf.chunk,
      "dtype": str(leaf.dtype) if leaf.dtype == "bfloat16" else leaf.dtype.str,
      "compressor": {"id": "zstd", "level": 1},
    },
  }
  array = tensorstore.open(spec, create=True, delete_existing=True).result()
  pending = None  # one block is compressed while the next is read
  for start, block in leaf.blocks():
    place = tuple(
      slice(first, first + size)
      for first, size in zip(start, block.shape, strict=True)
    )
    if pending is not None:
      pending.result()
    pending = array[place].write(block)
  pending.result()

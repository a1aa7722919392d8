"""Model folders: parameters and their configuration, kept for good.

  {folder}/params/       written by orbax, or
  {folder}/params.json   the folder whose parameters they are
  {folder}/model.json    `configs.Model`
  {folder}/...           what else its writer lays beside them

A folder is written under another name and renamed, or in a bucket its
model.json is written last, so it is complete or not there. Arrays that lie on
several hosts are written and read by all of them, each its own parts.
`streaming` writes the same, a block at a time.
"""

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms import front
from crab_jax.training import hosts
from crab_jax.training import unreadable

CONFIG_FILE = "model.json"
_PARAMS = "params"
_ELSEWHERE = "params.json"
# The family of folders that name none: they are older than the second.
_FIRST = "qwen2_5_omni"


def save(
  folder: files.Path,
  params: array_types.Tree,
  model: configs.Model,
  beside: dict[str, files.Path],
) -> None:
  """Writes a model folder, `beside` copied into it; replaces one there.

  Parameters that lie on several hosts are written by all of them together.
  """
  new = files.begun(folder)
  if hosts.is_first():
    files.begun_folder(folder, CONFIG_FILE)
  # No host may write before the first one has emptied the folder.
  hosts.barrier(f"{folder.name} is to be written")
  # It writes in the background; the end of the block waits for it.
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(files.absolute(new) / _PARAMS, params)
  if hosts.is_first():
    _finish(new, folder, model, beside)
  hosts.barrier(f"{folder.name} is written")


def save_reference(
  folder: files.Path,
  other: files.Path,
  model: configs.Model,
  beside: dict[str, files.Path],
) -> None:
  """Writes a model folder whose parameters are those of another one.

  A base of 15 GB that nothing changed is not copied. All hosts call it.
  """
  holder = files.absolute(_holder(other))
  if hosts.is_first() and holder != files.absolute(folder):
    named = {"folder": str(holder)}
    with files.new_folder(folder, CONFIG_FILE) as new:
      files.write_json(new / _ELSEWHERE, named)
      for name, path in beside.items():
        files.copy(path, new / name)
      files.write_text(new / CONFIG_FILE, config_text(model))
  hosts.barrier(f"{folder.name} is written")


def params_of(folder: files.Path) -> files.Path:
  """Where the parameters of a model folder lie, written by orbax.

  Raises:
    UserError: it has none.
  """
  holder = _holder(folder)
  path = holder / _PARAMS
  if path.is_dir():
    return files.absolute(path)
  if holder == folder:
    raise errors.UserError(f"{folder} is no model folder: {path} is missing")
  raise errors.UserError(
    f"{folder / _ELSEWHERE} says that the parameters lie in {holder}, and"
    f" {path} is missing: write in it where they are now"
  )


def _holder(folder: files.Path) -> files.Path:
  """The folder that holds the parameters: it itself, or the one it names."""
  path = folder / _ELSEWHERE
  if not path.is_file():
    return folder
  try:
    return files.path(json.loads(path.read_text())["folder"])
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f"{path}: {error!r}") from error


def _finish(new, folder, model, beside) -> None:
  for name, path in beside.items():
    files.copy(path, new / name)
  # Last: in a bucket it is what makes the folder one.
  files.write_text(new / CONFIG_FILE, config_text(model))
  files.finish_folder(new, folder)


def config_text(model: configs.Model) -> str:
  """What `model.json` says of a model."""
  fields = {"family": front.of(model).name, **dataclasses.asdict(model)}
  return json.dumps(fields, indent=2)


def load_config(folder: files.Path) -> configs.Model:
  """The configuration of a model folder.

  Raises:
    UserError: the folder is none, or its file is damaged.
  """
  path = folder / CONFIG_FILE
  if not path.is_file():
    raise errors.UserError(f"{folder} is no model folder: {path} is missing")
  try:
    return _model(json.loads(path.read_text()))
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


# What a model folder may be given otherwise: encoders take any frame.
_FREE = ("frame_size",)


def require_same_network(folder: files.Path, wanted: configs.Model) -> None:
  """Checks that a model folder holds the network of some settings.

  Parameters of the same shapes fit networks that compute other things: another
  base of the rotary positions, say, or other heads. The adapter, dtypes and
  what is computed where are not compared.

  Raises:
    UserError: they differ; names every field.
  """
  theirs, ours = (
    dataclasses.replace(model, adapter=None).network
    for model in (load_config(folder), wanted)
  )
  problems = [
    f"{name} is {theirs.get(name, 'absent')!r} and not"
    f" {ours.get(name, 'absent')!r}"
    for name in {**theirs, **ours}
    if theirs.get(name) != ours.get(name)
    and name.rpartition(".")[2] not in _FREE
  ]
  if problems:
    raise errors.UserError(
      f"{folder / CONFIG_FILE} is not of the network that is set:"
      f" {'; '.join(problems)}"
    )


def _model(fields: dict[str, Any]) -> configs.Model:
  vision, family = front.named(fields.pop("family", _FIRST))
  parts = {
    "audio": family.audio,
    "vision": vision,
    "decoder": configs.Decoder,
    "adapter": configs.ILora,
  }
  for name, kind in parts.items():
    if fields.get(name) is not None:
      fields[name] = kind(**_settings(fields[name], family.former_names))
  return configs.Model(**fields)


def _settings(
  fields: dict[str, Any], former_names: Mapping[str, str]
) -> dict[str, Any]:
  """Fields of JSON as a dataclass takes them."""
  return {
    former_names.get(name, name): tuple(x) if isinstance(x, list) else x
    for name, x in fields.items()
  }


def load_params(
  folder: files.Path,
  shard: Callable[[array_types.Tree], array_types.Tree] | None = None,
) -> array_types.Tree:
  """The parameters of a model folder.

  Args:
    folder: a model folder.
    shard: shapes -> shapes with shardings (`MeshRunner.sharded_shapes`): every
      host reads the parts of its devices. None: all, as numpy arrays.

  Raises:
    UserError: the folder holds no complete parameters, or damaged ones.
  """
  path = params_of(folder)
  return _as_numpy(path) if shard is None else _sharded(path, shard)


def _sharded(
  path: files.Path, shard: Callable[[array_types.Tree], array_types.Tree]
) -> array_types.Tree:
  """A tree of parameters, each part straight to the device it belongs to."""
  with ocp.StandardCheckpointer() as checkpointer:
    with unreadable.as_user_error(path):
      found = checkpointer.metadata(path).item_metadata.tree
    shapes = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(found)
    )
    wanted = shard(shapes)
    with unreadable.as_user_error(path):
      return checkpointer.restore(path, wanted)


def _as_numpy(path: files.Path) -> array_types.Tree:
  """A tree of parameters, straight into the memory of this host.

  Not by way of the devices that it was saved from: they may be others.
  """
  with unreadable.as_user_error(path), ocp.PyTreeCheckpointer() as checkpointer:
    saved = checkpointer.metadata(path).item_metadata.tree
    arguments = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), dict(saved)
    )
    return checkpointer.restore(path, restore_args=arguments)


def check_replaceable(folder: files.Path, marker: str = CONFIG_FILE) -> None:
  """Lets a model folder, an empty one or nothing be overwritten.

  Args:
    folder: to write.
    marker: the file by which such a folder is known.

  Raises:
    UserError: `folder` holds something else.
  """
  if not folder.exists() or (folder / marker).is_file():
    return
  if not folder.is_dir() or files.listing(folder):
    raise errors.UserError(
      f"{folder} exists and is no model folder; choose another name"
    )

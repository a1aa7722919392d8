"""Folders of mask models: the parameters of a SAM 2.1 and its shapes.

{folder}/params/      as in a model folder
{folder}/sam2.json    `configs.Sam2`
"""

import dataclasses
import json
from typing import Any

import flax.traverse_util
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.models.sam2 import network
from crab_jax.training import model_folder
from crab_jax.training import streaming
from crab_jax.weights import base

CONFIG_FILE = "sam2.json"


def write(
  folder: files.Path,
  config: configs.Sam2,
  leaves: dict[str, base.Leaf],
  beside: dict[str, str] | None = None,
) -> None:
  """Writes a folder, complete or not there; replaces one that is there.

  Args:
    folder: to write.
    config: the shapes.
    leaves: by parameter path, "a/b/c".
    beside: text files to lay beside them.

  Raises:
    UserError: `folder` is something else, a block cannot be read or the disk
      is full.
  """
  model_folder.check_replaceable(folder, CONFIG_FILE)
  text = json.dumps(dataclasses.asdict(config), indent=2)
  streaming.write(folder, leaves, {**(beside or {}), CONFIG_FILE: text})


def save(
  folder: files.Path,
  config: configs.Sam2,
  params: array_types.Tree,
  beside: dict[str, str] | None = None,
) -> None:
  """Writes parameters that are in memory; see `write`."""
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  write(folder, config, {path: _leaf(x) for path, x in flat.items()}, beside)


def _leaf(x: array_types.Array) -> base.Leaf:
  values = np.asarray(x, np.float32)
  start = (0,) * values.ndim
  return base.Leaf(
    values.shape, values.dtype, values.shape, lambda: iter([(start, values)])
  )


def load(
  folder: files.Path, encoder_dtype: str | None = None
) -> tuple[configs.Sam2, array_types.Tree]:
  """The shapes and the parameters of a folder.

  Args:
    folder: of `write` or `save`.
    encoder_dtype: of the encoder; None: as the folder says.

  Raises:
    UserError: the folder is none, or damaged; its parameters are of another
      size, or not finite.
  """
  config = load_config(folder)
  if encoder_dtype is not None:
    config = dataclasses.replace(config, encoder_dtype=encoder_dtype)
  params = model_folder.load_params(folder)
  _require_shapes(folder, config, params)
  for path, leaf in flax.traverse_util.flatten_dict(params, sep="/").items():
    if not np.isfinite(np.sum(leaf, dtype=np.float64)):
      raise errors.UserError(f"{folder}: {path} holds NaN or infinity")
  return config, params


def load_config(folder: files.Path) -> configs.Sam2:
  """The shapes of the mask model in a folder.

  Raises:
    UserError: the folder is none, or its file is damaged.
  """
  path = folder / CONFIG_FILE
  if not path.is_file():
    raise errors.UserError(
      f"{folder} is no folder of a mask model: {path} is missing (make one"
      " with convert sam2)"
    )
  try:
    fields: dict[str, Any] = {
      name: tuple(x) if isinstance(x, list) else x
      for name, x in json.loads(path.read_text()).items()
    }
    return configs.Sam2(**fields)
  except (ValueError, TypeError, AttributeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


def _require_shapes(
  folder: files.Path, config: configs.Sam2, params: array_types.Tree
) -> None:
  wanted = flax.traverse_util.flatten_dict(network.shapes(config), sep="/")
  found = flax.traverse_util.flatten_dict(params, sep="/")
  for path in [*wanted, *found]:
    expected, got = (
      list(tree[path].shape) if path in tree else "absent"
      for tree in (wanted, found)
    )
    if expected != got:
      raise errors.UserError(
        f"{folder}: its {CONFIG_FILE} is of a mask model of another size than"
        f" its parameters: {path} should be {expected} and is {got}"
      )

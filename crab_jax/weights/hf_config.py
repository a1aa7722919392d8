"""config.json of a checkpoint: which family it is of, and which model."""

import json
from typing import Any

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms import front
from crab_jax.paradigms import names
from crab_jax.paradigms import network

FILE = "config.json"


def family(folder: files.Path) -> names.Checkpoint:
  """How the checkpoint in `folder` is read.

  Raises:
    UserError: it has no config.json, or one of no family.
  """
  said = fields(folder)
  for _, checkpoint in network.converted():
    if checkpoint.recognises(said):
      return checkpoint
  known = ", ".join(row.name for row in front.FAMILIES.values())
  raise errors.UserError(
    f"{folder / FILE} describes a model of none of the families {known}"
  )


def read(folder: files.Path, dtype: str) -> configs.Model:
  """The model of `folder`/config.json; see `describe`."""
  return describe(folder, dtype).model


def describe(folder: files.Path, dtype: str) -> names.Described:
  """What `folder`/config.json says; `dtype` is that of the weights.

  Raises:
    UserError: there is none, or it describes another network.
  """
  checkpoint, path = family(folder), folder / FILE
  try:
    return checkpoint.read_config(fields(folder), dtype)
  except (ValueError, TypeError, AttributeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


def fields(folder: files.Path) -> dict[str, Any]:
  """What `folder`/config.json holds.

  Raises:
    UserError: it is missing or no JSON object.
  """
  path = folder / FILE
  try:
    found = json.loads(path.read_text())
  except FileNotFoundError as error:
    raise errors.UserError(f"{path} is missing") from error
  except ValueError as error:
    raise errors.UserError(f"{path}: {error}") from error
  if not isinstance(found, dict):
    raise errors.UserError(f"{path} is no JSON object")
  return found

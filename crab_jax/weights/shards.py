"""A folder of safetensors shards: what is in it, and slices of it.

Only headers are read until a slice is asked for; a slice is copied out and
its file closed again, so that no more than that slice stays in memory.
"""

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import safetensors

from crab_jax import errors
from crab_jax import files

INDEX = "model.safetensors.index.json"
DTYPES = ("BF16", "F16", "F32")


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A tensor on disk."""

  file: files.Path
  name: str  # in its file
  shape: tuple[int, ...]
  dtype: str  # as safetensors calls it

  def read(self, start: int, stop: int) -> np.ndarray:
    """Rows start..stop-1 of the first axis.

    Raises:
      UserError: a value is NaN or infinite, or the file has changed.
    """
    try:
      with safetensors.safe_open(self.file, "np") as file:
        rows = file.get_slice(self.name)[start:stop]
    except (OSError, safetensors.SafetensorError) as error:
      raise errors.UserError(f"{self.file}: {error}") from error
    with np.errstate(invalid="ignore"):  # a signalling NaN
      if not np.isfinite(rows).all():
        raise errors.UserError(
          f"{self.file}: {self.name} holds values that are not finite"
        )
    return rows


def files_of(folder: files.Path) -> list[files.Path]:
  """The shards: those that the index names, else all that are there.

  Raises:
    UserError: there are none, or the index is damaged.
  """
  index = folder / INDEX
  if index.is_file():
    try:
      found = sorted(set(json.loads(index.read_text())["weight_map"].values()))
      return [folder / name for name in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise errors.UserError(
        f"{index} is no index of shards: {error}"
      ) from error
  found = files.listing(folder, "*.safetensors")
  if not found:
    raise errors.UserError(f"{folder} holds no *.safetensors")
  return found


def contents(
  folder: files.Path, canonical: Callable[[str], str | None]
) -> tuple[dict[str, list[Tensor]], list[str]]:
  """What the thinker could use, by canonical name, and what is wrong.

  Args:
    folder: of the shards.
    canonical: of `names.Checkpoint`.

  Returns:
    All tensors that claim a name of the table's form, and one line for every
    shard that is missing or damaged.
  """
  found: dict[str, list[Tensor]] = {}
  problems = []
  for path in files_of(folder):
    try:
      tensors = _tensors(path)
    except FileNotFoundError:
      problems.append(f"{path.name} is missing")
    except (OSError, safetensors.SafetensorError) as error:
      problems.append(f"{path.name} is damaged ({error})")
    else:
      for tensor in tensors:
        name = canonical(tensor.name)
        if name is not None:
          found.setdefault(name, []).append(tensor)
  return found, problems


def _tensors(path: files.Path) -> list[Tensor]:
  with safetensors.safe_open(path, "np") as file:
    parts = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118
    return [
      Tensor(path, name, tuple(part.get_shape()), part.get_dtype())
      for name, part in parts
    ]

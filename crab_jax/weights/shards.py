"""A folder of safetensors shards: what is in it, and slices of it.

Only headers are read until a slice is asked for; a slice is copied out and
its file closed again, so that no more than that slice stays in memory.
"""

import collections
import dataclasses
import json
import math
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import safetensors

from crab_jax import errors
from crab_jax import files
from crab_jax.weights import names

SINGLE = "model.safetensors"
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
  """The single file, else the shards of the index, else all that are there.

  That order is transformers': where both are, the index is older.

  Raises:
    UserError: there are none, or the index is damaged.
  """
  if (folder / SINGLE).is_file():
    return [folder / SINGLE]
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


def notes_on_files(folder: files.Path) -> list[str]:
  """Which weights lie beside those that are read, a line for people."""
  found = files_of(folder)
  read = {path.name for path in found}
  beside = files.listing(folder, "*.safetensors")
  if SINGLE in read and len(beside) > 1:
    beside += files.listing(folder, INDEX)
  unread = [path.name for path in beside if path.name not in read]
  if not unread:
    return []
  source = SINGLE if SINGLE in read else f"the files of {INDEX}"
  return [f"the weights are those of {source}; not read: {', '.join(unread)}"]


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


def commonest_dtype(found: Mapping[str, list[Tensor]]) -> str:
  """What most elements of the tensors are, as safetensors calls it."""
  elements: collections.Counter[str] = collections.Counter()
  for parts in found.values():
    elements[parts[0].dtype] += math.prod(parts[0].shape)
  return max(elements, key=elements.__getitem__, default="F32")


def notes_on_dtypes(found: Mapping[str, list[Tensor]], dtype: str) -> list[str]:
  """Which tensors of a mixed checkpoint change, a line of each dtype.

  Args:
    found: by canonical name.
    dtype: what they become, "bfloat16" or "float32".
  """
  named: dict[str, list[str]] = {}
  for name, parts in found.items():
    named.setdefault(parts[0].dtype, []).append(name)
  named.pop("BF16" if dtype == "bfloat16" else "F32", None)
  if len(named) == 1 and len(next(iter(named.values()))) == len(found):
    return []  # all of one dtype
  return [
    f"{len(tensors)} of {kind} become {dtype}: {names.listing(tensors)}"
    for kind, tensors in named.items()
  ]


def tie(found: dict[str, list[Tensor]], tied: Sequence[str]) -> list[str]:
  """Gives the missing ones of tied tensors the one that is there.

  Returns:
    Which ones those are, a line for people.
  """
  there = [name for name in tied if name in found]
  missing = [name for name in tied if name not in found]
  if not there or not missing:
    return []
  for name in missing:
    found[name] = found[there[0]]
  return [f"{', '.join(missing)} is {there[0]}: the two are tied"]


def _tensors(path: files.Path) -> list[Tensor]:
  with safetensors.safe_open(path, "np") as file:
    parts = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118
    return [
      Tensor(path, name, tuple(part.get_shape()), part.get_dtype())
      for name, part in parts
    ]

"""The parameters of a model folder, read piece by piece.

`model_folder` reads them whole; a base of 18 GB that is only copied into
another form need not be in memory. Both forms of orbax are read: a folder a
parameter, and one database of all.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorstore

from crab_jax import files
from crab_jax.training import model_folder
from crab_jax.training import unreadable

_DATABASE = "manifest.ocdbt"


@dataclasses.dataclass(frozen=True)
class Leaf:
  """A parameter on disk."""

  path: files.Path
  shape: tuple[int, ...]
  dtype: np.dtype
  array: tensorstore.TensorStore

  def read(self, *index: int | slice) -> np.ndarray:
    """The values at an index, all of them without one.

    Raises:
      UserError: the file is damaged.
    """
    with unreadable.as_user_error(self.path):
      found = self.array[index] if index else self.array
      return np.asarray(found.read().result())

  def sample(self, places: np.ndarray) -> np.ndarray:
    """The values at places of the flattened parameter: int64[N]."""
    index = np.unravel_index(places, self.shape)
    with unreadable.as_user_error(self.path):
      return np.asarray(self.array.vindex[index].read().result())


def open_leaves(folder: files.Path, paths: list[str]) -> dict[str, Leaf]:
  """The parameters of a model folder by path.

  Args:
    folder: a model folder.
    paths: of the parameters, "a/b/c".

  Raises:
    UserError: one is missing or damaged.
  """
  params = model_folder.params_of(folder)
  found = {}
  for path in paths:
    with unreadable.as_user_error(params / path):
      array = tensorstore.open(_spec(params, path), read=True).result()
    found[path] = Leaf(
      params / path, array.shape, array.dtype.numpy_dtype, array
    )
  return found


def _spec(params: files.Path, path: str) -> dict[str, Any]:
  name = path.replace("/", ".")
  if (params / _DATABASE).is_file():
    store: dict[str, Any] = {
      "driver": "ocdbt",
      "base": files.store(params),
      # In the database a parameter is what its keys begin with.
      "path": f"{name}/",
    }
  else:
    store = files.store(params / name)
  return {"driver": "zarr", "kvstore": store}

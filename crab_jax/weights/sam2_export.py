"""A mask model as a folder that transformers loads as Sam2Model."""

import functools
from collections.abc import Iterator

import flax.traverse_util
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import files
from crab_jax.weights import safetensors_file
from crab_jax.weights import sam2_config
from crab_jax.weights import sam2_names


def write(
  folder: files.Path, config: configs.Sam2, params: array_types.Tree
) -> None:
  """Writes config.json and the safetensors of a mask model.

  Args:
    folder: not there, or empty.
    config: the shapes.
    params: the parameters.
  """
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  tensors = []
  for row in sam2_names.rows(config):
    for name in row.hf_names:
      tensors.append(_tensor(name, row, flat[row.path]))
  with files.new_folder(folder) as new:
    safetensors_file.write_folder(new, tensors)
    files.write_json(new / sam2_config.FILE, sam2_config.fields(config))


def _tensor(
  name: str, row: sam2_names.Row, values: array_types.Array
) -> safetensors_file.Tensor:
  shape = row.layout.torch_shape(values.shape)
  blocks = functools.partial(_blocks, row, values)
  return safetensors_file.Tensor(name, shape, np.dtype(np.float32), blocks)


def _blocks(
  row: sam2_names.Row, values: array_types.Array
) -> Iterator[np.ndarray]:
  yield row.layout.theirs(np.asarray(values, np.float32))

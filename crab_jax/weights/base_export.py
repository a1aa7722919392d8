"""A base as the folder that transformers loads: the other way of `base`.

  config.json, tokenizer.json, chat_template.jinja
  model.safetensors, or shards and model.safetensors.index.json

What the checkpoint had and the network never reads is written as zeros, so
that nothing is missing to whoever loads it.
"""

import dataclasses
import json
from collections.abc import Iterator
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms import names as table
from crab_jax.paradigms import network
from crab_jax.weights import hf_config
from crab_jax.weights import safetensors_file
from crab_jax.weights import stored


def write(
  folder: files.Path,
  model: configs.Model,
  leaves: Mapping[str, stored.Stored],
  beside: Mapping[str, str],
) -> None:
  """Writes the folder, whole or not at all, a tensor in memory at a time.

  Args:
    folder: must not be there, or be empty.
    model: the configuration, without adapter.
    leaves: the parameters by path.
    beside: text files to lay beside.

  Raises:
    UserError: transformers has no such network, `folder` is something else, or
      the disk is full.
  """
  check_free(folder)
  checkpoint = network.checkpoint_of(model)
  try:
    fields = checkpoint.write_config(model)
  except ValueError as error:
    raise errors.UserError(f"the model cannot be exported: {error}") from error
  tensors = list(_tensors(checkpoint, model, leaves))
  try:
    with files.new_folder(folder, hf_config.FILE) as new:
      for name, text in beside.items():
        files.write_text(new / name, text)
      files.write_text(new / hf_config.FILE, json.dumps(fields, indent=2))
      safetensors_file.write_folder(new, tensors)
  except (OSError, ValueError) as error:
    raise errors.UserError(f"cannot write {folder}: {error}") from error


def check_free(folder: files.Path) -> None:
  """Raises UserError if something is there already."""
  if folder.exists() and (not folder.is_dir() or files.listing(folder)):
    raise errors.UserError(f"{folder} exists; choose another name")


def _tensors(
  checkpoint: table.Checkpoint,
  model: configs.Model,
  leaves: Mapping[str, stored.Stored],
) -> Iterator[safetensors_file.Tensor]:
  """All tensors, in the order of the table and of the layers."""
  for row in checkpoint.rows:
    if row.path not in leaves:
      continue
    leaf = leaves[row.path]
    one = leaf.shape[row.stacked :]
    shape = checkpoint.torch_shape(row, one, model.vision)
    for layer in range(leaf.shape[0]) if row.stacked else (None,):
      yield safetensors_file.Tensor(
        row.torch if layer is None else row.torch.format(layer),
        tuple(shape),
        leaf.dtype,
        _Blocks(leaf, layer, row.layout),
      )
  dtype = np.dtype(
    ml_dtypes.bfloat16 if model.param_dtype == "bfloat16" else np.float32
  )
  for name, shape in checkpoint.unread(model).items():
    yield safetensors_file.Tensor(name, shape, dtype, _Zeros(shape, dtype))


@dataclasses.dataclass(frozen=True)
class _Zeros:
  shape: tuple[int, ...]
  dtype: np.dtype

  def __call__(self) -> Iterator[np.ndarray]:
    yield np.zeros(self.shape, self.dtype)


class _Blocks:
  """Reads a tensor when it is called, and cuts it into rows as torch's."""

  def __init__(self, leaf: stored.Stored, layer: int | None, layout: str):
    self._leaf, self._layer, self._layout = leaf, layer, layout

  def __call__(self) -> Iterator[np.ndarray]:
    index = () if self._layer is None else (self._layer,)
    value = self._leaf.read(*index)
    if self._layout != "same":
      value = value.T
    rows = stored.rows_a_block(value.shape, value.dtype.itemsize)
    for start in range(0, len(value), rows):
      yield value[start : start + rows]

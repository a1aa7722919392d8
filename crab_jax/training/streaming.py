"""Writes a model folder larger than memory, one block of a parameter at a time.

`convert` does so: a released checkpoint need not fit into the memory of the
machine that converts it. `model_folder` reads the result.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Protocol
from typing import runtime_checkable

import flax.traverse_util
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from absl import logging

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import model_folder


@runtime_checkable  # by the type checks of the tests
class StreamedLeaf(Protocol):
  """A parameter that reads itself block by block (`weights.base.Leaf`)."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  @property
  def dtype(self) -> np.dtype: ...

  @property
  def chunk(self) -> tuple[int, ...]:
    """The shape of what lies in one file."""

  @property
  def blocks(
    self,
  ) -> Callable[[], Iterator[tuple[tuple[int, ...], np.ndarray]]]:
    """Yields (start, values) of blocks that lie on the grid of `chunk`."""


def save(
  folder: files.Path,
  leaves: Mapping[str, StreamedLeaf],
  model: configs.Model,
  beside: dict[str, str],
) -> None:
  """Writes a model folder block by block; replaces one that is there.

  Args:
    folder: to write; what `model_folder` reads.
    leaves: by parameter path, "a/b/c".
    model: the configuration.
    beside: text files to lay beside it.

  Raises:
    UserError: `folder` is something else, a block cannot be read or the disk
      is full; nothing remains of it.
  """
  model_folder.check_replaceable(folder)
  texts = {**beside, model_folder.CONFIG_FILE: model_folder.config_text(model)}
  write(folder, leaves, texts)


def write(
  folder: files.Path,
  leaves: Mapping[str, StreamedLeaf],
  texts: dict[str, str],
) -> None:
  """Writes parameters and text files as a folder, complete or not there.

  Raises:
    UserError: a block cannot be read or the disk is full; nothing remains.
  """
  try:
    with files.new_folder(folder, model_folder.CONFIG_FILE) as new:
      params = files.absolute(new) / "params"
      # Orbax would hold a copy of each whole parameter. So it writes a tree of
      # scalars, and tensorstore puts the arrays where those were, in zarr too.
      _write_skeleton(params, leaves)
      for path, leaf in leaves.items():
        # Orbax's name of the folder of a parameter.
        _write_leaf(params / path.replace("/", "."), leaf)
      for name, text in texts.items():
        files.write_text(new / name, text)
  except (OSError, ValueError) as error:  # tensorstore raises ValueError
    raise errors.UserError(f"cannot write {folder}: {error}") from error


def _write_skeleton(
  path: files.Path, leaves: Mapping[str, StreamedLeaf]
) -> None:
  flat = {name: np.zeros((), leaf.dtype) for name, leaf in leaves.items()}
  tree = flax.traverse_util.unflatten_dict(flat, sep="/")
  # OCDBT would keep all arrays in one database; here each has its own folder.
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)  # it warns of what it need not merge
  try:
    with ocp.Checkpointer(handler) as checkpointer:
      checkpointer.save(path, args=ocp.args.PyTreeSave(tree))
  finally:
    logging.set_verbosity(verbosity)


def _write_leaf(path: files.Path, leaf: StreamedLeaf) -> None:
  spec = {
    "driver": "zarr",
    "kvstore": {"driver": "file", "path": str(path)},
    "metadata": {
      "shape": leaf.shape,
      "chunks": leaf.chunk,
      # numpy's code of bfloat16 is "<V2", two bytes of anything.
      "dtype": str(leaf.dtype) if leaf.dtype == "bfloat16" else leaf.dtype.str,
      "compressor": {"id": "zstd", "level": 1},
    },
  }
  # In place of the scalar that orbax has written.
  array = tensorstore.open(spec, create=True, delete_existing=True).result()
  # One block is compressed while the next is read.
  pending: tensorstore.WriteFutures | None = None
  for start, block in leaf.blocks():
    region = tuple(
      slice(first, first + size)
      for first, size in zip(start, block.shape, strict=True)
    )
    if pending is not None:
      pending.result()
    pending = array[region].write(block)
  if pending is not None:
    pending.result()

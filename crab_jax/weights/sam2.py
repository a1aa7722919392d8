"""Checkpoints of SAM 2.1 in two layouts, as our tree.

A folder as transformers writes it (of `Sam2Model`, or of `Sam2VideoModel`, as
the released ones are), or a released .pt file, which is read without torch and
without running what is in it. `plan` checks everything that headers tell; the
leaves then read themselves one at a time.

A .pt file does not say which shapes it was made for: windows and heads are not
in its tensors. So it must be of one of the released sizes.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from collections.abc import Mapping

import flax.traverse_util
import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.models.sam2 import network
from crab_jax.weights import base
from crab_jax.weights import names
from crab_jax.weights import sam2_config
from crab_jax.weights import sam2_names
from crab_jax.weights import shards
from crab_jax.weights import torch_file

_INSIDE = "model"  # of a released file
_FLOATS = ("BF16", "F16", "F32", "bfloat16", "float16", "float32")


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a conversion will write.

  Attributes:
    config: the shapes.
    leaves: by parameter path, "a/b/c".
    notes: lines for people: what was left out.
  """

  config: configs.Sam2
  leaves: dict[str, base.Leaf]
  notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """A tensor of a checkpoint, in memory once it is read."""

  shape: tuple[int, ...]
  dtype: str
  read: Callable[[], np.ndarray]


def plan(
  source: str,
  sizes: Mapping[str, configs.Sam2] = configs.SAM2_SIZES,
) -> Plan:
  """Checks a checkpoint against the network of its size.

  Args:
    source: a folder, a .pt file, or an id of the Hugging Face hub.
    sizes: those that a .pt file may be of.

  Raises:
    UserError: it is none, or damaged; all that is missing, unexpected or of
      another shape or dtype, together.
  """
  file = files.path(os.path.expanduser(source))
  if file.is_file():
    found = _of_file(file)
    config = _size(file, found, sizes)
    rows = [(row, row.released) for row in sam2_names.rows(config)]
    return _plan(file, config, found, rows)
  folder = base.find(source)
  config, found = sam2_config.read(folder), _of_folder(folder)
  rows = [(row, (row.hf,)) for row in sam2_names.rows(config)]
  return _plan(folder, config, found, rows)


def _of_file(path: files.Path) -> dict[str, _Tensor]:
  tensors = torch_file.read(path, _INSIDE)
  return {
    name: _Tensor(
      x.shape, x.dtype.name, functools.partial(_finite, path, name, x)
    )
    for name, x in tensors.items()
  }


def _finite(path: files.Path, name: str, x: np.ndarray) -> np.ndarray:
  with np.errstate(invalid="ignore"):  # a signalling NaN
    if not np.isfinite(x).all():
      raise errors.UserError(f"{path}: {name} holds values that are not finite")
  return x


def _of_folder(folder: files.Path) -> dict[str, _Tensor]:
  tensors, problems = shards.contents(folder, lambda name: name)
  twice = [name for name, parts in tensors.items() if len(parts) > 1]
  if twice:
    problems.append(f"set twice: {names.listing(twice)}")
  if problems:
    raise errors.UserError(f"{folder}: {'; '.join(problems)}")
  found = {
    name: _Tensor(
      part.shape, part.dtype, functools.partial(part.read, 0, part.shape[0])
    )
    for name, (part, *_) in tensors.items()
  }
  # The frequencies are kept twice, and a file may have either.
  second = found.pop(sam2_names.HF_GAUSSIAN, None)
  if second is not None:
    found.setdefault(sam2_names.HF_FIRST_GAUSSIAN, second)
  return found


def _size(
  path: files.Path,
  found: Mapping[str, _Tensor],
  sizes: Mapping[str, configs.Sam2],
) -> configs.Sam2:
  """The size whose encoder has the widths and the blocks of a file."""
  embedding = found.get("image_encoder.trunk.pos_embed")
  blocks = {
    name.split(".")[3]
    for name in found
    if name.startswith("image_encoder.trunk.blocks.")
  }
  if embedding is None or len(embedding.shape) != 4:
    raise errors.UserError(
      f"{path} is no checkpoint of SAM 2.1: it has no"
      " image_encoder.trunk.pos_embed"
    )
  width, count = embedding.shape[1], len(blocks)
  for config in sizes.values():
    if (config.width, sum(config.blocks)) == (width, count):
      return config
  known = ", ".join(
    f"{name} ({x.width}, {sum(x.blocks)})" for name, x in sizes.items()
  )
  raise errors.UserError(
    f"{path}: an encoder of width {width} with {count} blocks is none of the"
    f" released sizes: {known}"
  )


def _plan(path, config: configs.Sam2, found: dict[str, _Tensor], rows) -> Plan:
  flat = flax.traverse_util.flatten_dict(network.shapes(config), sep="/")
  expected = {
    name: _torch_shape(row, flat[row.path].shape, len(tensors))
    for row, tensors in rows
    for name in tensors
  }
  video = [name for name in found if name.startswith(sam2_names.VIDEO)]
  own = {name: x for name, x in found.items() if name not in set(video)}
  if problems := _problems(own, expected):
    raise errors.UserError(
      f"{path} is no SAM 2.1 of width {config.width}: {'; '.join(problems)}"
    )
  leaves = {
    row.path: _leaf(row, flat[row.path].shape, [found[n] for n in tensors])
    for row, tensors in rows
  }
  note = f"not read: {len(video)} tensors of the memory of videos"
  return Plan(config, leaves, (note,) if video else ())


def _torch_shape(
  row: sam2_names.Row, shape: tuple[int, ...], parts: int
) -> tuple[int, ...]:
  """The shape of each tensor that makes a parameter of `shape`."""
  whole = row.layout.torch_shape(shape)
  return (whole[0] // parts, *whole[1:])


def _problems(found, expected: dict[str, tuple[int, ...]]) -> list[str]:
  """What keeps `found` from being `expected`, a line a kind."""
  kinds = {
    "missing": [name for name in expected if name not in found],
    "unexpected": [name for name in found if name not in expected],
    "of another shape": [
      f"{name} (expected {list(shape)}, got {list(found[name].shape)})"
      for name, shape in expected.items()
      if name in found and found[name].shape != shape
    ],
    "of a dtype other than bfloat16, float16, float32": [
      f"{name} ({found[name].dtype})"
      for name in expected
      if name in found and found[name].dtype not in _FLOATS
    ],
  }
  return [
    f"{len(hits)} {kind}: {names.listing(hits)}"
    for kind, hits in kinds.items()
    if hits
  ]


def _leaf(
  row: sam2_names.Row, shape: tuple[int, ...], parts: list[_Tensor]
) -> base.Leaf:
  def blocks():
    # The largest tensor has 21 MB: it is one block.
    whole = np.concatenate([part.read() for part in parts])
    made = np.ascontiguousarray(row.layout.ours(whole), np.float32)
    yield (0,) * len(shape), made

  return base.Leaf(shape, np.dtype(np.float32), shape, blocks)

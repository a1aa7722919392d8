"""The base checkpoint: a folder of safetensors, or a hub id, as our tree.

`plan` checks everything that headers tell before a byte is moved; the leaves
it returns then read themselves in blocks of at most `BLOCK_BYTES`, so that the
largest stacked kernel (3.8 GB for the 7B) never has to exist in memory.
`training.streaming.save` writes them. Measured by
`tests.parity.convert_memory` on a random checkpoint of the 3B's shape: 8.8
GiB in 32 s, peak 0.79 GiB of resident memory, 0.21 GiB more than the largest
tensor (one of two cores of an AMD EPYC was busy; 2026-11-25).
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from collections.abc import Iterator

import flax.traverse_util
import ml_dtypes
import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms import names as table
from crab_jax.paradigms import thinker
from crab_jax.weights import hf_config
from crab_jax.weights import names
from crab_jax.weights import shards

BLOCK_BYTES = 32 << 20
TOKENIZER = "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja"]
# Slicing a transposed block into rows of 64 is five times as fast as numpy's
# own copy of a transposed matrix.
_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Leaf:
  """A parameter that reads itself block by block.

  `blocks()` yields (start, block): where in the parameter the block begins,
  and its values. Blocks lie on the grid of `chunk`.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  chunk: tuple[int, ...]
  blocks: Callable[[], Iterator[tuple[tuple[int, ...], np.ndarray]]]

  @property
  def size(self) -> int:
    return int(np.prod(self.shape))


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a conversion will write."""

  model: configs.Model
  leaves: dict[str, Leaf]  # by parameter path, "a/b/c"
  files: dict[str, str]  # text files beside the parameters
  notes: tuple[str, ...] = ()  # lines for people: what was chosen or left out


def find(source: str) -> files.Path:
  """The local folder of `source`; a hub id is downloaded.

  Raises:
    UserError: there is no such folder and no such hub id.
  """
  folder = files.path(source)
  if not files.is_remote(folder):
    folder = folder.expanduser()
  if folder.is_dir():
    return folder
  if not _HUB_ID.fullmatch(source):
    raise errors.UserError(f"{source} is no folder")
  import huggingface_hub  # only here: a local folder needs no network

  try:
    found = huggingface_hub.snapshot_download(source, allow_patterns=_HUB_FILES)
  except Exception as error:  # its own errors, requests', httpx's, OSError
    raise errors.UserError(
      f"{source} is no folder, and could not be downloaded: {error}"
    ) from error
  return files.path(found)


def plan(folder: files.Path, dtype: str | None = None) -> Plan:
  """Checks a checkpoint against the model of its config.json.

  Args:
    folder: the checkpoint.
    dtype: of the parameters, "bfloat16" or "float32"; None: that of most
      elements of the checkpoint, float32 for float16, which it holds exactly.

  Raises:
    UserError: all that is missing, unexpected, of another shape or dtype, or
      set twice, together.
  """
  checkpoint = hf_config.family(folder)
  found, problems = shards.contents(folder, checkpoint.canonical)
  notes = shards.notes_on_files(folder)
  if dtype is None:
    most = shards.commonest_dtype(found)
    dtype = "bfloat16" if most == "BF16" else "float32"
  described = hf_config.describe(folder, dtype)
  model = described.model
  if described.tied:
    notes += shards.tie(found, checkpoint.tied)
  shapes = shapes_of(model)
  rows = [row for row in checkpoint.rows if row.path in shapes]
  problems += problems_of(found, expected(rows, checkpoint, model, shapes))
  if problems:
    raise errors.UserError(
      f"{folder} does not fit its {hf_config.FILE}: {'; '.join(problems)}"
    )
  leaves = {
    row.path: leaf_of(row, shapes[row.path], dtype, found) for row in rows
  }
  notes += shards.notes_on_dtypes(found, dtype)
  return Plan(model, leaves, _files(folder), (*notes, *described.notes))


def shapes_of(model: configs.Model) -> dict[str, tuple[int, ...]]:
  """Parameter path -> its shape."""
  tree = nn.meta.unbox(thinker.abstract(model))
  flat = flax.traverse_util.flatten_dict(tree, sep="/")
  return {path: leaf.shape for path, leaf in flat.items()}


def expected(
  rows: list[table.Row],
  checkpoint: table.Checkpoint,
  model: configs.Model,
  shapes: dict[str, tuple[int, ...]],
) -> dict[str, tuple[int, ...]]:
  """Canonical tensor name -> shape in the checkpoint."""
  made = {}
  for row in rows:
    shape = shapes[row.path]
    one = checkpoint.torch_shape(row, shape[row.stacked :], model.vision)
    made.update(dict.fromkeys(_tensors(row, shape), one))
  return made


def _tensors(row: table.Row, shape: tuple[int, ...]) -> list[str]:
  """The names of the tensors that make a parameter, in order."""
  count = shape[0] if row.stacked else 1
  return [row.torch.format(layer) for layer in range(count)]


def problems_of(found, expected: dict[str, tuple[int, ...]]) -> list[str]:
  """What keeps `found` from being `expected`, a line a kind."""
  kinds = {
    "missing": [name for name in expected if name not in found],
    "unexpected": [name for name in found if name not in expected],
    "set twice": [
      f"{name} ({' and '.join(_place(part) for part in parts)})"
      for name, parts in found.items()
      if len(parts) > 1
    ],
    "of another shape": [
      f"{name} (expected {list(expected[name])}, got {list(part.shape)})"
      for name, parts in found.items()
      for part in parts
      if name in expected and part.shape != expected[name]
    ],
    f"of a dtype other than {', '.join(shards.DTYPES)}": [
      f"{name} ({part.dtype})"
      for name, parts in found.items()
      for part in parts
      if name in expected and part.dtype not in shards.DTYPES
    ],
  }
  return [
    f"{len(hits)} {kind}: {names.listing(hits)}"
    for kind, hits in kinds.items()
    if hits
  ]


def _place(part: shards.Tensor) -> str:
  return f"{part.name} in {part.file.name}"


def leaf_of(row, shape, dtype, found) -> Leaf:
  """The parameter of a row of the table, out of the tensors by name."""
  parts = [found[name][0] for name in _tensors(row, shape)]
  dtype = numpy_dtype(dtype)
  whole = parts[0].shape
  bytes_per_row = int(np.prod(whole[1:])) * dtype.itemsize
  rows = _even(whole[0], max(BLOCK_BYTES // bytes_per_row, 1))
  axis = len(shape) - 1  # of our tree: where torch's first axis went
  if row.layout == "same":
    axis = int(row.stacked)
  chunk = [*shape]
  chunk[axis] = rows
  layers = 1
  if row.stacked:
    layers = _layers_a_chunk(len(parts), bytes_per_row * whole[0])
    chunk[0] = layers

  def blocks():
    for first in range(0, len(parts), layers):
      group = parts[first : first + layers]
      for start in range(0, whole[0], rows):
        stop = min(start + rows, whole[0])
        made = [_lay(part.read(start, stop), row, dtype) for part in group]
        place = [0] * len(shape)
        place[axis] = start
        if row.stacked:
          place[0] = first
        yield tuple(place), np.stack(made) if row.stacked else made[0]

  return Leaf(shape, dtype, tuple(chunk), blocks)


def numpy_dtype(name: str) -> np.dtype:
  """Of "bfloat16" or "float32"."""
  return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else np.float32)


def _even(total: int, most: int) -> int:
  """Rows of each part when `total` is cut evenly, `most` at most a part."""
  return math.ceil(total / math.ceil(total / most))


def _layers_a_chunk(layers: int, size: int) -> int:
  """All layers of a small tensor in one chunk, a large one by itself."""
  return layers if layers * size <= BLOCK_BYTES else 1


def _lay(rows: np.ndarray, row: table.Row, dtype: np.dtype) -> np.ndarray:
  """Rows of a tensor as our tree lays them."""
  rows = rows.astype(dtype, copy=False)
  if row.layout == "same":
    return rows
  if row.layout == "patches":
    rows = rows.reshape(len(rows), -1)
  out = np.empty(rows.shape[::-1], dtype)
  for start in range(0, len(rows), _ROWS):
    out[..., start : start + _ROWS] = rows[start : start + _ROWS].T
  return out


def _files(folder: files.Path) -> dict[str, str]:
  """Tokenizer and chat template, where the checkpoint has them."""
  found = {}
  if (folder / TOKENIZER).is_file():
    found[TOKENIZER] = (folder / TOKENIZER).read_text()
  template = _chat_template(folder)
  if template is not None:
    found[CHAT_TEMPLATE] = template
  return found


def _chat_template(folder: files.Path) -> str | None:
  """From its own file, or from a field of the older JSON files."""
  path = folder / CHAT_TEMPLATE
  if path.is_file():
    return path.read_text()
  for name in ("chat_template.json", "tokenizer_config.json"):
    path = folder / name
    if not path.is_file():
      continue
    try:
      template = json.loads(path.read_text()).get("chat_template")
    except (ValueError, AttributeError) as error:
      raise errors.UserError(f"{path} is damaged: {error}") from error
    if isinstance(template, str):
      return template
  return None

"""What a model folder or an adapter folder holds, as text for a bug report.

Of a base only shapes and dtypes are read, and of its adapter the values, a
parameter at a time: 18 GB on disk need not fit into memory.
"""

import math
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Protocol

import flax.traverse_util
import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.configs import presets
from crab_jax.data import task_files
from crab_jax.data import tokenizer
from crab_jax.models import ilora
from crab_jax.paradigms import front
from crab_jax.paradigms import thinker
from crab_jax.training import lazy_params
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import base

_RELEASES = {
  "Qwen2.5-Omni-7B": presets.qwen2_5_omni_7b,
  "Qwen2.5-Omni-3B": presets.qwen2_5_omni_3b,
}


class _Shaped(Protocol):
  """An array, or a parameter on disk."""

  @property
  def shape(self) -> tuple[int, ...]: ...
  @property
  def dtype(self) -> np.dtype: ...


def inspect(folder: files.Path) -> str:
  """Describes a model folder or an adapter folder.

  Returns:
    Lines: parameters, bytes and dtypes by tower, the adapter with its largest
    |B| by tower and head, special tokens, and what differs from the recipe.

  Raises:
    UserError: the folder is neither, or damaged.
  """
  if (folder / adapter.SETTINGS).is_file():
    lines = _adapter_folder(folder)
  elif (folder / model_folder.CONFIG_FILE).is_file():
    lines = _model_folder(folder)
  else:
    raise errors.UserError(
      f"{folder} is neither a model folder ({model_folder.CONFIG_FILE}) nor an"
      f" adapter folder ({adapter.SETTINGS}); convert makes both"
    )
  own = folder / task_files.FILE
  if own.is_file():
    lines.append(f"tasks: {', '.join(task_files.read(own))}")
  return "\n".join(lines)


def _model_folder(folder: files.Path) -> list[str]:
  config = model_folder.load_config(folder)
  tree = nn.meta.unbox(thinker.abstract(config))
  expected = flax.traverse_util.flatten_dict(tree, sep="/")
  leaves = lazy_params.open_leaves(folder, list(expected))
  lines = [
    f"model folder {folder}, family {front.of(config).name}",
    *_sizes({p: x for p, x in leaves.items() if not ilora.is_leaf(p)}),
    *(
      f"{path} has shape {list(leaf.shape)}, not {list(expected[path].shape)}"
      " as its settings say"
      for path, leaf in leaves.items()
      if leaf.shape != expected[path].shape
    ),
    *_network(config),
    *_special_tokens(folder, config),
  ]
  if config.adapter is None:
    return [*lines, "adapter: none"]
  own = {p: x for p, x in leaves.items() if ilora.is_leaf(p)}
  return lines + _adapter(config.adapter, own, lambda path: own[path].read())


def _adapter_folder(folder: files.Path) -> list[str]:
  params, config, made_on = adapter.read(folder)
  own = ilora.leaves(params)
  return [
    f"adapter folder {folder}",
    f"base: {made_on or 'none was given when it was made'}",
    *_adapter(config, own, own.__getitem__),
  ]


def _sizes(leaves: Mapping[str, _Shaped]) -> list[str]:
  """A table of parameters, bytes and dtypes, a line a tower."""
  towers: dict[str, list[_Shaped]] = {}
  for path, leaf in leaves.items():
    towers.setdefault(path.split("/")[0], []).append(leaf)
  lines = [f"{'tower':<12} {'parameters':>14} {'GiB':>7}  dtypes"]
  for tower, own in sorted(towers.items()) + [("all", [*leaves.values()])]:
    count = sum(math.prod(leaf.shape) for leaf in own)
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in own) / 2**30
    dtypes = ", ".join(sorted({str(leaf.dtype) for leaf in own}))
    lines.append(f"{tower:<12} {count:>14,} {size:>7.2f}  {dtypes}")
  return lines


def _network(config: configs.Model) -> list[str]:
  """Which release a base is, or how it differs from the one of its width."""
  releases = {
    name: make(adapter=None).network for name, make in _RELEASES.items()
  }
  ours = {k: v for k, v in config.network.items() if not k.startswith("ILora.")}
  for name, theirs in releases.items():
    if ours.get("Decoder.width") == theirs["Decoder.width"]:
      return _differences(name, ours, theirs)
  return [f"network: of the size of no release ({', '.join(releases)})"]


def _differences(
  what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> list[str]:
  found = [
    f"  {name} is {ours.get(name, 'absent')!r}, there"
    f" {theirs.get(name, 'absent')!r}"
    for name in {**theirs, **ours}
    if ours.get(name) != theirs.get(name)
  ]
  return [f"differs from {what}:" if found else f"as {what}", *found]


def _special_tokens(folder: files.Path, config: configs.Model) -> list[str]:
  path = folder / base.TOKENIZER
  if not path.is_file():
    return [f"special tokens: unknown, as {base.TOKENIZER} is missing"]
  try:
    found = tokenizer.load(path, front.of(config).grammar)
  except errors.UserError as error:
    # What is wrong belongs into the report, which goes on.
    return [f"special tokens: unknown, as {error}"]
  ids = ", ".join(f"{name} {found.ids[name]}" for name in found.grammar.special)
  return [
    f"special tokens: {ids}",
    f"token ids: {found.size:,}, rows of the embedding: {config.decoder.ids:,}",
  ]


def _adapter(
  config: configs.ILora,
  leaves: Mapping[str, _Shaped],
  read: Callable[[str], np.ndarray],
) -> list[str]:
  """Settings, sizes, and the largest |B| of every tower and head.

  Args:
    config: its settings.
    leaves: its parameters by path.
    read: path -> the values of a parameter.
  """
  largest: dict[str, np.ndarray] = {}
  problems = []
  for path in leaves:
    values = np.asarray(read(path)).astype(np.float32)
    if not np.isfinite(values).all():
      problems.append(f"{path} holds values that are not finite")
    if path.endswith("/lora_B"):  # [.., heads, rank, outputs]
      tower = path.split("/")[0]
      heads = values.shape[-3]
      found = np.moveaxis(np.abs(values), -3, 0).reshape(heads, -1).max(axis=1)
      largest[tower] = np.maximum(largest.get(tower, found), found)
  lines = [
    *_differences(
      "the adapter of the recipe", config.named(), configs.ILora().named()
    ),
    *_sizes(leaves),
    f"{'tower':<12} largest |B| of each head",
  ]
  for tower, values in sorted(largest.items()):
    dead = "" if values.any() else "  (dead: every B is zero)"
    lines.append(f"{tower:<12} {' '.join(f'{x:.3g}' for x in values)}{dead}")
  return lines + problems

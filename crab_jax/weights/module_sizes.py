"""The sizes of the modules that an adapter may sit in: a model's, or a file's."""

import collections
import re

import flax.traverse_util
import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import network
from crab_jax.paradigms import thinker

Size = tuple[int, int, int]  # layers, in, out


def of_model(model: configs.Model) -> dict[str, Size]:
  """The adapted modules of a model."""
  tree = nn.meta.unbox(thinker.abstract(model))
  flat = flax.traverse_util.flatten_dict(tree, sep="/")
  return {
    module: flat[f"{ours}/kernel"].shape
    for module, ours in network.checkpoint_of(model).adapted
  }


def of_tensors(
  found: dict[str, np.ndarray], adapted: tuple[tuple[str, str], ...]
) -> dict[str, Size]:
  """The adapted modules as most tensors of a file have them.

  All modules of a tower are taken to have as many layers as its last has.
  """
  layers: collections.Counter[str] = collections.Counter()
  sides: dict[str, list] = {}
  for module, _ in adapted:
    pattern = re.compile(
      re.escape(module).replace(r"\{\}", r"(\d+)") + r"\.lora_(A|B0)\.weight"
    )
    for name, tensor in found.items():
      if (hit := pattern.fullmatch(name)) and tensor.ndim == 2:
        number, leaf = hit.groups()
        tower = module.split(".")[0]
        # A damaged number must not make a list of a billion missing layers.
        number = min(int(number), len(found))
        layers[tower] = max(layers[tower], number + 1)
        side = tensor.shape[1] if leaf == "A" else tensor.shape[0]
        sides.setdefault(f"{module} {leaf}", []).append(side)
  return {
    module: (
      layers[module.split(".")[0]] or 1,
      _commonest(sides.get(f"{module} A", [0])),
      _commonest(sides.get(f"{module} B0", [0])),
    )
    for module, _ in adapted
  }


def _commonest(values: list) -> int:
  return collections.Counter(values).most_common(1)[0][0]

"""A plain LoRA of PEFT, as ms-swift and LLaMA-Factory save it too.

  {folder}/adapter_config.json          its settings
  {folder}/adapter_model.safetensors    or adapter_model.bin:
    base_model.model.{module}.lora_A.weight   [R, in]
                             lora_B.weight    [out, R]

It becomes an adapter of one head. Modules that it leaves out get a B of zeros.
Ranks and alphas of single modules are honoured: a smaller rank is filled up
with zeros, and B takes what the scale of a module differs by.

Reference: LoRA, arXiv 2106.09685; rank-stabilised, arXiv 2312.03732; the files
of PEFT 0.21.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

import flax.traverse_util
import numpy as np
import safetensors
import safetensors.numpy

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.models import ilora
from crab_jax.paradigms import names as table
from crab_jax.paradigms import network
from crab_jax.weights import adapter
from crab_jax.weights import module_sizes
from crab_jax.weights import names
from crab_jax.weights import peft_settings
from crab_jax.weights import prefixes
from crab_jax.weights import torch_file
from crab_jax.weights import torch_pickle

SETTINGS = peft_settings.FILE
TENSORS = ("adapter_model.safetensors", "adapter_model.bin")  # PEFT's order

# An adapter's own name may stand in a tensor's: lora_A.default.weight.
_TENSOR = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")


_KEPT = (*torch_pickle.STORAGES.values(),)  # others become float32


@dataclasses.dataclass
class Pair:
  """What is known of a module of one layer."""

  rank: int  # as the settings say
  scale: float
  tensors: dict[str, np.ndarray]  # "A" and "B"


def read(
  path: files.Path, base: configs.Model | None
) -> tuple[array_types.Tree, configs.ILora]:
  """The adapter of a file of PEFT, whose settings lie beside it.

  Args:
    path: adapter_model.safetensors or adapter_model.bin.
    base: what the adapter must fit; None: all modules must be in the file.

  Returns:
    Parameters, and settings with one head.

  Raises:
    UserError: another kind of adapter, or it does not fit, or is damaged.
  """
  settings = peft_settings.read(path.parent / SETTINGS)
  tensors = _tensors(path)
  checkpoint, family = _family(tensors)
  pairs, problems = _pairs(tensors, checkpoint, settings)
  if not pairs and not problems:
    raise errors.UserError(f"{path} holds no adapter: no tensor named lora_A")
  towers = any(_in_tower(name, family) for name in pairs)
  sizes = _sizes(pairs, checkpoint, base)
  if not towers:
    sizes = {x: size for x, size in sizes.items() if not _in_tower(x, family)}
  problems += _misfits(pairs, sizes)
  if problems:
    raise errors.UserError(f"{path} is not loaded: {'; '.join(problems)}")
  rank = max(pair.rank for pair in pairs.values())
  config = configs.ILora(
    rank=rank,
    heads=1,
    alpha=settings.scale() * rank,
    dropout=settings.dropout,
    targets="lm+towers" if towers else "lm",
  )
  stacked = _Stacker(pairs, config)
  flat: dict[str, array_types.Array] = {}
  for module, ours in checkpoint.adapted:
    if module in sizes:
      flat.update(stacked.module(module, sizes[module]).leaves(ours))
  return flax.traverse_util.unflatten_dict(flat, sep="/"), config


def _tensors(path: files.Path) -> dict[str, np.ndarray]:
  if path.suffix != ".safetensors":
    return torch_file.read(path)
  try:
    return safetensors.numpy.load_file(path)
  except FileNotFoundError as error:
    raise errors.UserError(f"{path} is missing") from error
  except (OSError, ValueError, safetensors.SafetensorError) as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error


def _family(
  tensors: Mapping[str, np.ndarray],
) -> tuple[table.Checkpoint, network.Network]:
  """The family whose stacks most of the tensors lie in."""

  def known(checkpoint: table.Checkpoint) -> int:
    stacks = tuple(
      module.partition("{}")[0] for module, _ in checkpoint.adapted
    )
    return sum(
      (prefixes.canonical(name, checkpoint) or "").startswith(stacks)
      for name in tensors
    )

  family, checkpoint = max(network.converted(), key=lambda row: known(row[1]))
  return checkpoint, family


def _in_tower(module: str, family: network.Network) -> bool:
  return family.group(module.replace(".", "/")) != "lm"


def _pairs(
  tensors: Mapping[str, np.ndarray],
  checkpoint: table.Checkpoint,
  settings: peft_settings.Settings,
) -> tuple[dict[str, Pair], list[str]]:
  """A and B by module, and what no adapter here can hold."""
  pairs: dict[str, Pair] = {}
  problems, unexpected = [], []
  short = {name: prefixes.canonical(name, checkpoint) for name in tensors}
  if misplaced := prefixes.wrong([x for x in short.values() if x], checkpoint):
    return {}, [misplaced]
  patterns = [
    re.compile(re.escape(module).replace(r"\{\}", r"\d+"))
    for module, _ in checkpoint.adapted
  ]
  for name, tensor in tensors.items():
    hit = _TENSOR.fullmatch(short[name] or name)
    if not hit or not any(pattern.fullmatch(hit[1]) for pattern in patterns):
      unexpected.append(short[name] or name)
      continue
    # The settings speak of modules by their names in PEFT's model.
    theirs = prefixes.unwrapped(name).rpartition(".lora_")[0]
    pair = pairs.setdefault(
      hit[1], Pair(settings.rank(theirs), settings.scale(theirs), {})
    )
    if hit[2] in pair.tensors:
      problems.append(f"{name} is there twice, under two names")
    pair.tensors[hit[2]] = tensor
  if unexpected:
    held = ", ".join(ilora.TARGETS)
    problems.append(
      f"{len(unexpected)} tensors of modules other than {held}:"
      f" {names.listing(unexpected)}"
    )
  return pairs, problems


def _sizes(
  pairs: dict[str, Pair],
  checkpoint: table.Checkpoint,
  base: configs.Model | None,
) -> dict[str, module_sizes.Size]:
  """Layers, inputs and outputs of each adapted module."""
  if base is not None:
    return module_sizes.of_model(base)
  named = {
    f"{module}.lora_{'A' if leaf == 'A' else 'B0'}.weight": tensor
    for module, pair in pairs.items()
    for leaf, tensor in pair.tensors.items()
  }
  return module_sizes.of_tensors(named, checkpoint.adapted)


def _misfits(
  pairs: dict[str, Pair],
  sizes: dict[str, module_sizes.Size],
) -> list[str]:
  """What keeps the pairs from standing in modules of these sizes."""
  allowed = {
    module.format(layer): size
    for module, size in sizes.items()
    for layer in range(size[0])
  }
  kinds: dict[str, list[str]] = {}

  def tell(kind, module):
    kinds.setdefault(kind, []).append(module)

  for module, pair in pairs.items():
    if pair.tensors.keys() != {"A", "B"}:
      tell(f"without lora_{'A' if 'B' in pair.tensors else 'B'}", module)
    elif module not in allowed:
      tell("not in the base", module)
    else:
      _, inputs, outputs = allowed[module]
      wanted = [pair.rank, inputs], [outputs, pair.rank]
      found = [list(pair.tensors[leaf].shape) for leaf in "AB"]
      if found != [*wanted]:
        tell(
          f"of another shape ({found[0]} and {found[1]}, expected {wanted[0]}"
          f" and {wanted[1]})",
          module,
        )
  flat = {
    f"{module}.lora_{leaf}": tensor
    for module, pair in pairs.items()
    for leaf, tensor in pair.tensors.items()
  }
  for name, tensor in flat.items():
    if tensor.dtype not in (*_KEPT, np.float64):
      tell(f"of dtype {tensor.dtype}", name)
  for name in adapter.not_finite(flat):
    tell("not finite", name)
  for module, size in sizes.items():
    if not all(size):
      tell("absent, of a size that only the model tells: give --base", module)
  return [
    f"{len(hits)} {kind}: {names.listing(hits)}" for kind, hits in kinds.items()
  ]


class _Stacker:
  """Stacks the layers of a module, filled up to one rank and one scale."""

  def __init__(self, pairs: dict[str, Pair], config: configs.ILora):
    self._pairs, self._config = pairs, config
    self._ratios = {
      module: pair.scale / config.scale for module, pair in pairs.items()
    }
    dtypes = {x.dtype for pair in pairs.values() for x in pair.tensors.values()}
    exact = all(math.isclose(x, 1) for x in self._ratios.values())
    # A scale of its own would be rounded away in bfloat16.
    single = len(dtypes) == 1 and exact and dtypes <= {*_KEPT}
    self._dtype = dtypes.pop() if single else np.dtype(np.float32)
    # B is zero where a module is left out, so A may be anything; of zeros, the
    # two would have no gradient, and training could not go on.
    self._random = np.random.default_rng(0)

  def module(self, module: str, size: module_sizes.Size) -> ilora.Projection:
    """A and B of all layers."""
    layers, inputs, outputs = size
    rank = self._config.rank
    a = np.zeros((layers, inputs, rank), self._dtype)
    b = np.zeros((layers, 1, rank, outputs), self._dtype)
    for layer in range(layers):
      name = module.format(layer)
      if name not in self._pairs:
        fresh = self._random.uniform(-1, 1, a[layer].shape) * inputs**-0.5
        a[layer] = fresh.astype(self._dtype)
        continue
      pair, ratio = self._pairs[name], self._ratios[name]
      a[layer, :, : pair.rank] = pair.tensors["A"].T.astype(self._dtype)
      b[layer, 0, : pair.rank] = pair.tensors["B"].T.astype(self._dtype)
      if not math.isclose(ratio, 1):
        b[layer, 0] *= ratio
    return ilora.Projection(a=a, b=b, route=None)

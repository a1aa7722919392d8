"""The official adapter file: `finetune_weights.bin`, or `lora_weights.bin`.

A file of torch.save: a flat dict of the tensors

  base_model.model.{module}.lora_route.weight   [E, in]
                            lora_A.weight       [R, in]
                            lora_B{e}.weight    [out, R]

of every adapted projection, audio tower first, then vision, then decoder. It
holds no settings: R and E are in the shapes, alpha is nowhere, and is 2 R in
the official run. With one head the router has no effect and no place in our
tree: it is dropped when read and written as zeros.

Reference: arXiv 2603.04128, the official release.
"""

import collections
import itertools
import re
from collections.abc import Collection

import flax.traverse_util
import ml_dtypes
import numpy as np

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
from crab_jax.weights import prefixes
from crab_jax.weights import torch_file

_LAYER = re.compile(r"\.(\d+)\.")
_HEAD = re.compile(r"\.lora_B(\d+)\.weight$")
FILES = ("finetune_weights.bin", "lora_weights.bin")
DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float32": np.float32}


def read(
  path: files.Path, base: configs.Model | None, alpha: float | None
) -> tuple[array_types.Tree, configs.ILora]:
  """The adapter of an official file, bit for bit.

  Args:
    path: the file.
    base: what the adapter must fit; None: it must only fit itself.
    alpha: of the run that made it; None: twice the rank.

  Returns:
    Parameters in the dtype of the file, and their settings.

  Raises:
    UserError: all that is missing, unexpected, of another shape, set twice or
      not finite, together; or the file is no file of tensors.
  """
  tensors = torch_file.read(path)
  family, checkpoint = _family(tensors)
  if base is not None:
    family, checkpoint = network.of(base), network.checkpoint_of(base)
  if beside := [name for name in tensors if checkpoint.beside(name)]:
    print(f"note: {len(beside)} tensors of projectors in {path} are the base's")
    tensors = {n: x for n, x in tensors.items() if not checkpoint.beside(n)}
  adapted = checkpoint.adapted
  found, problems = _canonical(tensors, checkpoint)
  if misplaced := prefixes.wrong(found, checkpoint):
    raise errors.UserError(f"{path} is not loaded: {misplaced}")
  heads = 1 + max(
    (int(hit[1]) for name in found if (hit := _HEAD.search(name))), default=0
  )
  ranks = [x.shape[0] for name, x in found.items() if _is_code(name)]
  if not ranks or heads > len(found):
    raise errors.UserError(f"{path} holds no adapter: no tensor named lora_A")

  def in_tower(name):
    return family.group(name.replace(".", "/")) != "lm"

  config = configs.ILora(
    rank=_commonest(ranks),
    heads=heads,
    alpha=2.0 * _commonest(ranks) if alpha is None else alpha,
    targets="lm+towers" if any(in_tower(name) for name in found) else "lm",
  )
  sizes = (
    module_sizes.of_tensors(found, adapted)
    if base is None
    else module_sizes.of_model(base)
  )
  if not config.in_towers:
    sizes = {module: x for module, x in sizes.items() if not in_tower(module)}
  problems += _problems(found, _expected(sizes, config))
  if problems:
    raise errors.UserError(f"{path} is not loaded: {'; '.join(problems)}")
  flat = {}
  for module, ours in adapted:
    if module in sizes:
      flat.update(_stack(found, module, ours, sizes[module][0], config))
  return flax.traverse_util.unflatten_dict(flat, sep="/"), config


def _is_code(name: str) -> bool:
  return name.endswith(".lora_A.weight")


def _family(
  tensors: Collection[str],
) -> tuple[network.Network, table.Checkpoint]:
  """The family whose adapted modules most of the tensors are named by."""

  def known(family: tuple[network.Network, table.Checkpoint]) -> int:
    checkpoint = family[1]
    modules = {module for module, _ in checkpoint.adapted}
    return sum(
      _module(name, checkpoint) in modules or checkpoint.beside(name)
      for name in tensors
    )

  return max(network.converted(), key=known)


def _module(tensor: str, checkpoint: table.Checkpoint) -> str:
  """A tensor's module in the form of the table, with "{}" for the layer."""
  name = prefixes.canonical(tensor, checkpoint) or tensor
  module = name.removesuffix(".weight").rpartition(".")[0]
  return _LAYER.sub(".{}.", module, count=1)


def _commonest(values: list) -> int:
  return collections.Counter(values).most_common(1)[0][0]


def _canonical(
  tensors: dict[str, np.ndarray], checkpoint: table.Checkpoint
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The tensors by the table's names, and which names are there twice."""
  found, problems = {}, []
  for name, tensor in tensors.items():
    short = prefixes.canonical(name, checkpoint) or name
    if short in found:
      problems.append(f"{name} is there twice, under two prefixes")
    found[short] = tensor
  return found, problems


def _module_shapes(
  size: module_sizes.Size, config: configs.ILora
) -> dict[str, tuple[int, int]]:
  """Leaf name -> shape of one adapted projection, in the file's order."""
  _, inputs, outputs = size
  return {
    "lora_route.weight": (config.heads, inputs),
    "lora_A.weight": (config.rank, inputs),
    **{
      f"lora_B{head}.weight": (outputs, config.rank)
      for head in range(config.heads)
    },
  }


def _expected(
  sizes: dict[str, module_sizes.Size], config: configs.ILora
) -> dict[str, tuple[int, int]]:
  """Every tensor name -> its shape, in the order of the file."""
  expected = {}
  for _, group in itertools.groupby(sizes, lambda name: name.split(".")[0]):
    modules = list(group)
    for layer in range(sizes[modules[0]][0]):
      for module in modules:
        shapes = _module_shapes(sizes[module], config)
        for leaf, shape in shapes.items():
          expected[f"{module.format(layer)}.{leaf}"] = shape
  return expected


def _problems(found, expected) -> list[str]:
  """What keeps `found` from being `expected`, a line a kind."""
  dtypes = {str(tensor.dtype) for tensor in found.values()}
  wrong = [
    f"{name} (expected {list(shape)}, got {list(found[name].shape)})"
    for name, shape in expected.items()
    if name in found and found[name].shape != shape
  ]
  kinds = {
    "missing": [name for name in expected if name not in found],
    "unexpected": [name for name in found if name not in expected],
    "of another shape": wrong,
    "not finite": adapter.not_finite(found),
  }
  lines = [
    f"{len(hits)} {kind}: {names.listing(hits)}"
    for kind, hits in kinds.items()
    if hits
  ]
  if len(dtypes) > 1:
    lines.append(f"several dtypes: {', '.join(sorted(dtypes))}")
  return lines


def _stack(
  found, module: str, ours: str, layers: int, config: configs.ILora
) -> dict[str, np.ndarray]:
  """One module's tensors of all layers, as our tree lays them."""

  def each(leaf):
    return np.stack(
      [found[f"{module.format(i)}.{leaf}.weight"].T for i in range(layers)]
    )

  heads = [each(f"lora_B{head}") for head in range(config.heads)]
  made = ilora.Projection(
    a=each("lora_A"),
    b=np.stack(heads, axis=1),
    route=each("lora_route") if config.routes else None,
  )
  return made.leaves(ours)


def write(
  path: files.Path,
  params: array_types.Tree,
  config: configs.ILora,
  dtype: str | None = None,
) -> None:
  """Writes an adapter as the official code reads it.

  Args:
    path: the file.
    params: parameters, of which the adapter's are written.
    config: their settings.
    dtype: "bfloat16" (as released), "float32", or None: as they are.

  Raises:
    UserError: the official form cannot express it, or it cannot be written.
  """
  if config.official_obstacle:
    raise errors.UserError(
      f"the official file cannot hold this adapter: {config.official_obstacle}"
    )
  cast = {
    ours: np.asarray(leaf).astype(
      leaf.dtype if dtype is None else DTYPES[dtype], copy=False
    )
    for ours, leaf in ilora.leaves(params).items()
  }
  found = ilora.projections(flax.traverse_util.unflatten_dict(cast, sep="/"))
  adapted = _adapted(found)
  sizes = {}
  for module, ours in adapted.items():
    if ours in found:
      layers, inputs, _ = found[ours].a.shape
      sizes[module] = (layers, inputs, found[ours].b.shape[-1])
  tensors = {
    prefixes.EXPECTED + name: np.asarray(_tensor(found, adapted, name, shape))
    for name, shape in _expected(sizes, config).items()
  }
  torch_file.write(path, tensors)


def _adapted(paths: Collection[str]) -> dict[str, str]:
  """Module of torch -> of our tree, of the family that most paths are of."""
  tables = [dict(checkpoint.adapted) for _, checkpoint in network.converted()]
  return max(tables, key=lambda named: len(set(paths) & {*named.values()}))


def _tensor(
  found: dict[str, ilora.Projection],
  adapted: dict[str, str],
  name: str,
  shape: tuple[int, int],
) -> array_types.Array:
  """One tensor of the file, as a view of the stacked parameters."""
  module, leaf = name.removesuffix(".weight").rsplit(".", 1)
  before, layer, after = _LAYER.split(module, maxsplit=1)
  ours = adapted[f"{before}.{{}}.{after}"]
  a, b, route = found[ours]
  if leaf.startswith("lora_B"):
    return b[int(layer), int(leaf.removeprefix("lora_B"))].T
  if leaf == "lora_A":
    return a[int(layer)].T
  if route is not None:
    return route[int(layer)].T
  # No router: gates of 1/E, which is what a router of zeros gives.
  return np.zeros(shape, a.dtype)

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

import json
import math
import re
from collections.abc import Mapping
from typing import Any

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
from crab_jax.weights import prefixes
from crab_jax.weights import torch_file

SETTINGS = "adapter_config.json"
TENSORS = ("adapter_model.safetensors", "adapter_model.bin")  # PEFT's order

# Fields that say nothing about the update; every other that is set is refused.
_READ = (
  "alpha_pattern",
  "bias",
  "init_lora_weights",
  "lora_alpha",
  "lora_dropout",
  "peft_type",
  "r",
  "rank_pattern",
  "use_rslora",
)
_IDLE = (
  "auto_mapping",
  "base_model_name_or_path",
  "ensure_weight_tying",
  "eva_config",  # how A began
  "exclude_modules",
  "inference_mode",
  "layers_pattern",
  "layers_to_transform",
  "megatron_core",
  "peft_version",
  "qalora_group_size",  # of use_qalora, which is refused
  "revision",
  "runtime_config",
  "target_modules",  # the tensors tell which
  "task_type",
)
# Ways to begin that change the base, which such an adapter then needs.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
# An adapter's own name may stand in a tensor's: lora_A.default.weight.
_TENSOR = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")

Pair = dict[str, np.ndarray]  # "A" and "B" of a module of one layer


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
  settings = _settings(path.parent / SETTINGS)
  tensors = _tensors(path)
  checkpoint, family = _family(tensors)
  pairs, problems = _pairs(tensors, checkpoint)
  if not pairs and not problems:
    raise errors.UserError(f"{path} holds no adapter: no tensor named lora_A")
  towers = any(_in_tower(name, family) for name in pairs)
  sizes = _sizes(pairs, checkpoint, base)
  if not towers:
    sizes = {x: size for x, size in sizes.items() if not _in_tower(x, family)}
  problems += _misfits(pairs, sizes, settings)
  if problems:
    raise errors.UserError(f"{path} is not loaded: {'; '.join(problems)}")
  rank = max(pair["A"].shape[0] for pair in pairs.values())
  config = configs.ILora(
    rank=rank,
    heads=1,
    alpha=_scale(settings, settings["r"], settings["lora_alpha"]) * rank,
    dropout=float(settings.get("lora_dropout") or 0.0),
    targets="lm+towers" if towers else "lm",
  )
  stacked = _Stacker(pairs, settings, config)
  flat: dict[str, array_types.Array] = {}
  for module, ours in checkpoint.adapted:
    if module in sizes:
      flat.update(stacked.module(module, sizes[module]).leaves(ours))
  return flax.traverse_util.unflatten_dict(flat, sep="/"), config


def _settings(path: files.Path) -> dict[str, Any]:
  """adapter_config.json, checked.

  Raises:
    UserError: it is missing or damaged, or describes more than plain LoRA.
  """
  try:
    fields = json.loads(path.read_text())
  except FileNotFoundError as error:
    raise errors.UserError(f"{path} is missing") from error
  except (OSError, ValueError) as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error
  if not isinstance(fields, dict):
    raise errors.UserError(f"{path} is no JSON object")
  problems = [
    f"{name}={value!r}"
    for name, value in fields.items()
    if value and name not in (*_READ, *_IDLE) and not _is_off(value)
  ]
  if fields.get("peft_type", "LORA") != "LORA":
    problems.append(f"peft_type={fields['peft_type']!r}")
  if fields.get("bias", "none") != "none":
    problems.append(f"bias={fields['bias']!r}")
  begun = fields.get("init_lora_weights")
  if isinstance(begun, str) and begun.lower().startswith(_CHANGES_BASE):
    problems.append(f"init_lora_weights={begun!r} (it changed the base)")
  if problems:
    raise errors.UserError(
      f"{path}: the adapter here is a plain LoRA, without {', '.join(problems)}"
    )
  for name in ("r", "lora_alpha"):
    if not _is_positive(fields.get(name)):
      raise errors.UserError(
        f"{path}: {name} is {fields.get(name)!r} and no positive number"
      )
  for name in ("rank_pattern", "alpha_pattern"):
    pattern = fields.get(name) or {}
    if not isinstance(pattern, dict) or not all(
      map(_is_positive, pattern.values())
    ):
      raise errors.UserError(f"{path}: {name} is {pattern!r}, no such pattern")
  return fields


def _is_off(value: Any) -> bool:
  """Whether nested settings have no value that is set."""
  return isinstance(value, dict) and not any(value.values())


def _is_positive(value: Any) -> bool:
  return (
    isinstance(value, int | float)
    and not isinstance(value, bool)
    and math.isfinite(value)
    and value > 0
  )


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
  tensors: Mapping[str, np.ndarray], checkpoint: table.Checkpoint
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
    elif hit[2] in pairs.setdefault(hit[1], {}):
      problems.append(f"{name} is there twice, under two names")
    else:
      pairs[hit[1]][hit[2]] = tensor
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
    for leaf, tensor in pair.items()
  }
  return module_sizes.of_tensors(named, checkpoint.adapted)


def _misfits(
  pairs: dict[str, Pair],
  sizes: dict[str, module_sizes.Size],
  settings: dict[str, Any],
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
    if pair.keys() != {"A", "B"}:
      tell(f"without lora_{'A' if 'B' in pair else 'B'}", module)
    elif module not in allowed:
      tell("not in the base", module)
    else:
      _, inputs, outputs = allowed[module]
      rank = _of_module(settings, "rank_pattern", "r", module)
      if pair["A"].shape != (rank, inputs) or pair["B"].shape != (
        outputs,
        rank,
      ):
        tell(
          f"of another shape ({list(pair['A'].shape)} and"
          f" {list(pair['B'].shape)}, expected {[rank, inputs]} and"
          f" {[outputs, rank]})",
          module,
        )
  flat = {
    f"{module}.lora_{leaf}": tensor
    for module, pair in pairs.items()
    for leaf, tensor in pair.items()
  }
  for name in adapter.not_finite(flat):
    tell("not finite", name)
  for module, size in sizes.items():
    if not all(size):
      tell("absent, of a size that only the model tells: give --base", module)
  return [
    f"{len(hits)} {kind}: {names.listing(hits)}" for kind, hits in kinds.items()
  ]


def _of_module(
  settings: dict[str, Any], pattern: str, default: str, module: str
) -> Any:
  """A value of a module: the first pattern that its name ends with, or all's."""
  for key, value in (settings.get(pattern) or {}).items():
    # Patterns are regular expressions in PEFT; those of other trainers' names
    # are tried on the names here, which differ in what stands before.
    if re.match(rf"(.*\.)?({key})$", module):
      return value
  return settings[default]


def _scale(settings: dict[str, Any], rank: int, alpha: float) -> float:
  """What an update is multiplied by."""
  return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


class _Stacker:
  """Stacks the layers of a module, filled up to one rank and one scale."""

  def __init__(
    self,
    pairs: dict[str, Pair],
    settings: dict[str, Any],
    config: configs.ILora,
  ):
    self._pairs, self._config = pairs, config
    self._ratios = {
      module: _scale(
        settings,
        pair["A"].shape[0],
        _of_module(settings, "alpha_pattern", "lora_alpha", module),
      )
      / config.scale
      for module, pair in pairs.items()
    }
    dtypes = {x.dtype for pair in pairs.values() for x in pair.values()}
    exact = all(math.isclose(x, 1) for x in self._ratios.values())
    # A scale of its own would be rounded away in bfloat16.
    single = len(dtypes) == 1 and exact
    self._dtype = dtypes.pop() if single else np.dtype(np.float32)
    # B is zero where a module is left out, so A may be anything; of zeros, the
    # two would have no gradient, and training could not go on.
    self._random = np.random.default_rng(0)

  def module(self, module: str, size: module_sizes.Size) -> ilora.Projection:
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
      own = pair["A"].shape[0]
      a[layer, :, :own] = pair["A"].T.astype(self._dtype)
      b[layer, 0, :own] = pair["B"].T.astype(self._dtype)
      if not math.isclose(ratio, 1):
        b[layer, 0] *= ratio
    return ilora.Projection(a=a, b=b, route=None)

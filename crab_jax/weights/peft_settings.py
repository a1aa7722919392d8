"""adapter_config.json of PEFT: what of it makes a plain LoRA's update.

Every field that is set and that is neither read here nor without effect on the
update is refused by name: a later version's, too.

Reference: LoraConfig of PEFT 0.21; rank-stabilised LoRA, arXiv 2312.03732.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from crab_jax import errors
from crab_jax import files

FILE = "adapter_config.json"

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


@dataclasses.dataclass(frozen=True)
class Settings:
  """How large the update of a module is.

  A module is named as in PEFT's model: pattern keys are regular expressions
  that the end of such a name matches; the first that does counts.
  """

  r: int
  lora_alpha: float
  dropout: float
  stabilised: bool  # alpha / sqrt(rank) in place of alpha / rank
  ranks: Mapping[str, int]
  alphas: Mapping[str, float]

  def rank(self, module: str) -> int:
    """The rank of a module."""
    return _matching(self.ranks, module, self.r)

  def scale(self, module: str | None = None) -> float:
    """What the update of a module is multiplied by; None: of most modules."""
    rank, alpha = self.r, self.lora_alpha
    if module is not None:
      rank = self.rank(module)
      alpha = _matching(self.alphas, module, alpha)
    return alpha / (math.sqrt(rank) if self.stabilised else rank)


def _matching(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
  for key, value in pattern.items():
    if re.match(rf"(.*\.)?({key})$", module):
      return value
  return default


def read(path: files.Path) -> Settings:
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
      _is_expression(key) and _is_positive(value)
      for key, value in pattern.items()
    ):
      raise errors.UserError(f"{path}: {name} is {pattern!r}, no such pattern")
  return Settings(
    fields["r"],
    fields["lora_alpha"],
    float(fields.get("lora_dropout") or 0.0),
    bool(fields.get("use_rslora")),
    fields.get("rank_pattern") or {},
    fields.get("alpha_pattern") or {},
  )


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


def _is_expression(text: str) -> bool:
  try:
    re.compile(text)
  except re.error:
    return False
  return True

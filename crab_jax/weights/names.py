"""The table of names: tensors of Qwen2.5-Omni and parameters of our tree.

`MODULES` is the data; `ROWS` spells it out, one row a tensor name, with "{}"
for the number of a layer, whose tensors we stack on a leading axis. Three
generations of checkpoints are in use and differ in prefixes; `canonical` maps
all to the names of the table.

Rotary and sinusoid tables are not in any checkpoint. The order is that of
torch's module tree, which is the order of an adapter file.
"""

import dataclasses
import itertools
import re

from crab_jax import configs
from crab_jax.models import ilora

# How a tensor lies in our tree: "same"; "reversed", all its axes (torch stores
# [out, in], and [out, in, taps] for a convolution); "patches", the kernel of
# the 3D convolution as a matrix: [out, channel, frame, y, x] ->
# [channel * frame * y * x, out].
_LINEAR = (("weight", "kernel", "reversed"), ("bias", "bias", "same"))
_MATRIX = (("weight", "kernel", "reversed"),)
_PATCHES = (("weight", "kernel", "patches"),)
_NORM = (("weight", "weight", "same"), ("bias", "bias", "same"))
_SCALE = (("weight", "weight", "same"),)

MODULES = (
  ("audio_tower.conv1", _LINEAR),
  ("audio_tower.conv2", _LINEAR),
  ("audio_tower.layers.{}.self_attn.k_proj", _MATRIX),
  ("audio_tower.layers.{}.self_attn.v_proj", _LINEAR),
  ("audio_tower.layers.{}.self_attn.q_proj", _LINEAR),
  ("audio_tower.layers.{}.self_attn.out_proj", _LINEAR),
  ("audio_tower.layers.{}.self_attn_layer_norm", _NORM),
  ("audio_tower.layers.{}.fc1", _LINEAR),
  ("audio_tower.layers.{}.fc2", _LINEAR),
  ("audio_tower.layers.{}.final_layer_norm", _NORM),
  ("audio_tower.ln_post", _NORM),
  ("audio_tower.proj", _LINEAR),
  ("visual.patch_embed.proj", _PATCHES),
  ("visual.blocks.{}.norm1", _SCALE),
  ("visual.blocks.{}.norm2", _SCALE),
  ("visual.blocks.{}.attn.q", _LINEAR),
  ("visual.blocks.{}.attn.k", _LINEAR),
  ("visual.blocks.{}.attn.v", _LINEAR),
  ("visual.blocks.{}.attn.proj", _LINEAR),
  ("visual.blocks.{}.mlp.gate_proj", _LINEAR),
  ("visual.blocks.{}.mlp.up_proj", _LINEAR),
  ("visual.blocks.{}.mlp.down_proj", _LINEAR),
  ("visual.merger.ln_q", _SCALE),
  ("visual.merger.mlp.0", _LINEAR),
  ("visual.merger.mlp.2", _LINEAR),
  ("model.embed_tokens", _SCALE),
  ("model.layers.{}.self_attn.q_proj", _LINEAR),
  ("model.layers.{}.self_attn.k_proj", _LINEAR),
  ("model.layers.{}.self_attn.v_proj", _LINEAR),
  ("model.layers.{}.self_attn.o_proj", _MATRIX),
  ("model.layers.{}.mlp.gate_proj", _MATRIX),
  ("model.layers.{}.mlp.up_proj", _MATRIX),
  ("model.layers.{}.mlp.down_proj", _MATRIX),
  ("model.layers.{}.input_layernorm", _SCALE),
  ("model.layers.{}.post_attention_layernorm", _SCALE),
  ("model.norm", _SCALE),
  ("lm_head", _MATRIX),
)

# A Linen module cannot be named by a number.
_OURS = {
  "visual.merger.mlp.0": "visual.merger.mlp_0",
  "visual.merger.mlp.2": "visual.merger.mlp_2",
}

# What a checkpoint of the whole model holds besides: speech output, and a
# table that the thinker's forward pass never reads.
SKIPPED = ("talker.", "token2wav.", "audio_tower.audio_bos_eos_token.")

# A prefix of a generation -> of the table. The first that fits counts.
_GENERATIONS = (
  ("model.language_model.", "model."),
  ("model.audio_tower.", "audio_tower."),
  ("model.visual.", "visual."),
  ("model.lm_head.", "lm_head."),
)


@dataclasses.dataclass(frozen=True)
class Row:
  """One tensor name of the table (for stacked layers: of each layer)."""

  torch: str  # "{}" stands for the layer
  path: str  # in our tree, "a/b/c"
  layout: str  # see above

  @property
  def stacked(self) -> bool:
    return "{}" in self.torch


def _path(module: str) -> str:
  return _OURS.get(module, module).replace(".{}", "").replace(".", "/")


ROWS = tuple(
  Row(f"{module}.{torch}", f"{_path(module)}/{ours}", layout)
  for module, leaves in MODULES
  for torch, ours, layout in leaves
)

# (module of torch, module of our tree) that an adapter may sit in, in the
# order of its file.
ADAPTED = tuple(
  (module, _path(module))
  for module, _ in MODULES
  if module.rpartition(".")[2] in ilora.TARGETS
)


def canonical(name: str) -> str | None:
  """The name in the table's form, None for what the thinker does not use."""
  name = name.removeprefix("thinker.")
  for prefix, ours in _GENERATIONS:
    if name.startswith(prefix):
      name = ours + name.removeprefix(prefix)
      break
  return None if name.startswith(SKIPPED) else name


def torch_shape(
  row: Row, shape: tuple[int, ...], config: configs.VisionTower
) -> tuple[int, ...]:
  """The shape in the checkpoint of a parameter (of one layer, if stacked)."""
  if row.layout == "same":
    return shape
  if row.layout == "reversed":
    return shape[::-1]
  return (shape[1], 3, config.unit_frames, config.patch, config.patch)


_NUMBER = re.compile(r"\.(\d+)\.")


def listing(names: list[str]) -> str:
  """All the names, the layers of one tensor as "a.{0-27}.b"."""
  layers: dict[str, list[int]] = {}
  for name in names:
    number = _NUMBER.search(name)
    key = _NUMBER.sub(".{}.", name, count=1) if number else name
    layers.setdefault(key, []).extend([int(number[1])] if number else [])
  return ", ".join(
    key.replace("{}", _runs(numbers), 1) for key, numbers in layers.items()
  )


def _runs(numbers: list[int]) -> str:
  """[0, 1, 2, 5] -> "{0-2,5}", [3] -> "3"."""
  if len(numbers) == 1:
    return str(numbers[0])
  parts = []
  places = enumerate(sorted(numbers))
  for _, run in itertools.groupby(places, lambda pair: pair[1] - pair[0]):
    run = [number for _, number in run]
    parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
  return "{" + ",".join(parts) + "}"

"""The names of Qwen2.5-Omni: three generations of checkpoints.

They are in use side by side and differ in prefixes; `canonical` maps all to
the names of the table. Rotary and sinusoid tables are not in any checkpoint.
"""

from crab_jax import configs
from crab_jax.paradigms import names
from crab_jax.paradigms.qwen2_5_omni import checkpoint_config

MODULES = (
  ("audio_tower.conv1", names.LINEAR),
  ("audio_tower.conv2", names.LINEAR),
  ("audio_tower.layers.{}.self_attn.k_proj", names.MATRIX),
  ("audio_tower.layers.{}.self_attn.v_proj", names.LINEAR),
  ("audio_tower.layers.{}.self_attn.q_proj", names.LINEAR),
  ("audio_tower.layers.{}.self_attn.out_proj", names.LINEAR),
  ("audio_tower.layers.{}.self_attn_layer_norm", names.NORM),
  ("audio_tower.layers.{}.fc1", names.LINEAR),
  ("audio_tower.layers.{}.fc2", names.LINEAR),
  ("audio_tower.layers.{}.final_layer_norm", names.NORM),
  ("audio_tower.ln_post", names.NORM),
  ("audio_tower.proj", names.LINEAR),
  ("visual.patch_embed.proj", names.PATCHES),
  ("visual.blocks.{}.norm1", names.SCALE),
  ("visual.blocks.{}.norm2", names.SCALE),
  ("visual.blocks.{}.attn.q", names.LINEAR),
  ("visual.blocks.{}.attn.k", names.LINEAR),
  ("visual.blocks.{}.attn.v", names.LINEAR),
  ("visual.blocks.{}.attn.proj", names.LINEAR),
  ("visual.blocks.{}.mlp.gate_proj", names.LINEAR),
  ("visual.blocks.{}.mlp.up_proj", names.LINEAR),
  ("visual.blocks.{}.mlp.down_proj", names.LINEAR),
  ("visual.merger.ln_q", names.SCALE),
  ("visual.merger.mlp.0", names.LINEAR),
  ("visual.merger.mlp.2", names.LINEAR),
  ("model.embed_tokens", names.SCALE),
  ("model.layers.{}.self_attn.q_proj", names.LINEAR),
  ("model.layers.{}.self_attn.k_proj", names.LINEAR),
  ("model.layers.{}.self_attn.v_proj", names.LINEAR),
  ("model.layers.{}.self_attn.o_proj", names.MATRIX),
  ("model.layers.{}.mlp.gate_proj", names.MATRIX),
  ("model.layers.{}.mlp.up_proj", names.MATRIX),
  ("model.layers.{}.mlp.down_proj", names.MATRIX),
  ("model.layers.{}.input_layernorm", names.SCALE),
  ("model.layers.{}.post_attention_layernorm", names.SCALE),
  ("model.norm", names.SCALE),
  ("lm_head", names.MATRIX),
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


def canonical(name: str) -> str | None:
  """The name in the table's form, None for what the thinker does not use."""
  name = name.removeprefix("thinker.")
  for prefix, ours in _GENERATIONS:
    if name.startswith(prefix):
      name = ours + name.removeprefix(prefix)
      break
  return None if name.startswith(SKIPPED) else name


def torch_shape(
  row: names.Row, shape: tuple[int, ...], config: configs.VisionTower
) -> tuple[int, ...]:
  """The shape in the checkpoint of a parameter (of one layer, if stacked)."""
  if row.layout == "same":
    return shape
  if row.layout == "reversed":
    return shape[::-1]
  return (shape[1], 3, config.unit_frames, config.patch, config.patch)


def unread(model: configs.Model) -> dict[str, tuple[int, ...]]:
  """The table that the thinker's forward pass never reads."""
  shape = (2, model.decoder.width)
  return {"audio_tower.audio_bos_eos_token.weight": shape}


CHECKPOINT = names.Checkpoint(
  rows=names.rows(MODULES, _OURS),
  adapted=names.adapted(MODULES, _OURS),
  canonical=canonical,
  torch_shape=torch_shape,
  recognises=checkpoint_config.recognises,
  read_config=checkpoint_config.read,
  write_config=checkpoint_config.write,
  tied=("model.embed_tokens.weight", "lm_head.weight"),
  unread=unread,
)

"""The names of the family: four sources, and one table.

A language model of LLaMA's or Qwen2's names, CLIP, BEATs and projectors each come
from files of their own; a `canonical_*` maps the names of one source to those of
the table, which are the paths of our tree with dots.
"""

import math
import re

from crab_jax import configs
from crab_jax.paradigms import names
from crab_jax.paradigms.encoder_projector import checkpoint_config

# The weight norm of the convolution is multiplied out before.
_CONVOLUTION = (("weight", "weight", "reversed"), ("bias", "bias", "same"))
_TABLES = (
  ("class_embedding", "class_embedding", "same"),
  ("position_embedding", "position_embedding", "same"),
)
_ATTENTION = tuple(
  (f"{block}.{name}", leaves)
  for block in ("attention", "crossattention")
  for name, leaves in (
    *((name, names.LINEAR) for name in ("query", "key", "value", "dense")),
    ("norm", names.NORM),
  )
)


def _projector(top: str) -> names.Modules:
  inside = (
    *_ATTENTION,
    ("fc1", names.LINEAR),
    ("fc2", names.LINEAR),
    ("norm", names.NORM),
  )
  return (
    (f"{top}.projector", (("query_tokens", "query_tokens", "same"),)),
    (f"{top}.projector.norm", names.NORM),
    (f"{top}.projector.query_norm", names.NORM),
    *((f"{top}.projector.layers.{{}}.{x}", leaves) for x, leaves in inside),
    (f"{top}.projector.proj_0", names.LINEAR),
    (f"{top}.projector.proj_2", names.LINEAR),
  )


def _layers(top: str, modules: tuple[str, ...], leaves) -> names.Modules:
  return tuple((f"{top}.tower.layers.{{}}.{name}", leaves) for name in modules)


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_LINEARS = (*_QKV, "self_attn.out_proj", "fc1", "fc2")
MODULES = (
  ("clip.tower", _TABLES),
  ("clip.tower.patch_embedding", names.PATCHES),
  ("clip.tower.pre_layrnorm", names.NORM),
  *_layers("clip", _LINEARS, names.LINEAR),
  *_layers("clip", ("layer_norm1", "layer_norm2"), names.NORM),
  *_projector("clip"),
  ("clip.projector.proj", names.LINEAR),
  ("beats.tower.patch_embedding", names.PATCHES),
  ("beats.tower.layer_norm", names.NORM),
  ("beats.tower.post_extract_proj", names.LINEAR),
  ("beats.tower.pos_conv", _CONVOLUTION),
  ("beats.tower.encoder_layer_norm", names.NORM),
  (
    "beats.tower",
    (("relative_attention_bias", "relative_attention_bias", "same"),),
  ),
  *_layers("beats", (*_LINEARS, "self_attn.grep_linear"), names.LINEAR),
  *_layers("beats", ("self_attn",), (("grep_a", "grep_a", "same"),)),
  *_layers("beats", ("self_attn_layer_norm", "final_layer_norm"), names.NORM),
  *_projector("beats"),
  (
    "model.embed_tokens",
    (*names.SCALE, ("boundary", "boundary", "same")),
  ),
  *((f"model.layers.{{}}.{name}", names.LINEAR) for name in _QKV),
  *(
    (f"model.layers.{{}}.{name}", names.MATRIX)
    for name in (
      "self_attn.o_proj",
      "mlp.gate_proj",
      "mlp.up_proj",
      "mlp.down_proj",
    )
  ),
  ("model.layers.{}.input_layernorm", names.SCALE),
  ("model.layers.{}.post_attention_layernorm", names.SCALE),
  ("model.norm", names.SCALE),
  ("lm_head", names.MATRIX),
)

# Of a Q-Former: the network for text, and what reads and writes text.
_TEXT = re.compile(
  r"bert\.embeddings\.(word|position)|bert\.embeddings\.position_ids"
  r"|bert\.encoder\.layer\.\d+\.(intermediate|output)\.|cls\."
)
_PROJECTORS = {
  "vl_projector.": ("visual", "clip"),
  "al_projector.": ("audio", "beats"),
}
_PARTS = (
  ("{}_ln.", "norm."),
  ("{}_query_tokens", "query_tokens"),
  ("{}_proj.0.", "proj_0."),
  ("{}_proj.2.", "proj_2."),
  ("{}_Qformer.bert.embeddings.LayerNorm.", "query_norm."),
  ("{}_Qformer.bert.encoder.layer.", "layers."),
)
_INSIDE = (
  (".attention.self.", ".attention."),
  (".attention.output.dense.", ".attention.dense."),
  (".attention.output.LayerNorm.", ".attention.norm."),
  (".crossattention.self.", ".crossattention."),
  (".crossattention.output.dense.", ".crossattention.dense."),
  (".crossattention.output.LayerNorm.", ".crossattention.norm."),
  (".intermediate_query.dense.", ".fc1."),
  (".output_query.dense.", ".fc2."),
  (".output_query.LayerNorm.", ".norm."),
)


def canonical_language_model(name: str) -> str | None:
  """Of LLaMA and Qwen2; None for rotary tables, which old files hold."""
  return None if name.endswith(".rotary_emb.inv_freq") else name


def canonical_clip(name: str, layers: int) -> str | None:
  """Of CLIP; None for what reads text, and for what lies above layer `layers`."""
  if name.startswith(("text_model.", "text_projection.", "visual_projection.")):
    return None
  name = name.removeprefix("vision_model.")
  if name in ("logit_scale", "embeddings.position_ids"):
    return None
  if name.startswith("post_layernorm."):
    return None
  number = re.match(r"encoder\.layers\.(\d+)\.", name)
  if number and int(number[1]) >= layers:
    return None
  name = name.removeprefix("encoder.").removeprefix("embeddings.")
  name = name.replace(".mlp.fc", ".fc")
  if name == "position_embedding.weight":
    name = "position_embedding"
  return f"clip.tower.{name}"


def canonical_beats(name: str) -> str | None:
  """Of BEATs; None for the classifier of sounds."""
  if name.startswith("predictor."):
    return None
  for theirs, ours in (
    ("encoder.pos_conv.0.", "pos_conv."),
    ("encoder.layer_norm.", "encoder_layer_norm."),
    ("encoder.layers.", "layers."),
  ):
    if name.startswith(theirs):
      name = ours + name.removeprefix(theirs)
      break
  return f"beats.tower.{name}"


def canonical_projector(name: str) -> str | None:
  """Of the projectors of a published file; None: no part of ours.

  What comes before `vl_projector.` or `al_projector.` does not count.
  """
  for top, (word, ours) in _PROJECTORS.items():
    _, found, name_inside = name.partition(top)
    if not found:
      continue
    if _TEXT.match(name_inside.removeprefix(f"{word}_Qformer.")):
      return None
    for theirs, part in _PARTS:
      theirs = theirs.format(word)
      if name_inside.startswith(theirs):
        rest = part + name_inside.removeprefix(theirs)
        for old, new in _INSIDE:
          rest = rest.replace(old, new)
        return f"{ours}.projector.{rest}"
    return f"{ours}.projector.{name_inside}"
  return None


def is_projector(name: str) -> bool:
  """Whether a tensor of a published file is a projector's."""
  return any(top in name for top in _PROJECTORS)


def torch_shape(
  row: names.Row, shape: tuple[int, ...], config: configs.ClipVision
) -> tuple[int, ...]:
  """The shape in the checkpoint of a parameter (of one layer, if stacked)."""
  if row.layout == "same":
    return shape
  if row.layout == "reversed":
    return shape[::-1]
  channels = 1 if row.path.startswith("beats") else 3
  side = math.isqrt(shape[0] // channels)
  return (shape[1], channels, side, side)


CHECKPOINT = names.Checkpoint(
  rows=names.rows(MODULES, {}),
  adapted=names.adapted(MODULES, {}),
  canonical=canonical_language_model,
  torch_shape=torch_shape,
  recognises=checkpoint_config.recognises,
  read_config=checkpoint_config.refuse_alone,
  write_config=checkpoint_config.refuse_export,
  tied=("model.embed_tokens.weight", "lm_head.weight"),
  beside=is_projector,
)

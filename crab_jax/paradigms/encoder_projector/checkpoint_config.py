"""config.json of LLaMA, Qwen2 and CLIP, and `cfg` of BEATs -> our settings.

What our network has not got is an error and never ignored. A field that is
absent has the default of transformers' class; BEATs' class has other defaults
than its released file, so there nothing may be absent.
"""

import math
from typing import Any

from crab_jax import configs
from crab_jax.paradigms import names

_LANGUAGE_MODELS = ("llama", "qwen2")


def recognises(fields: dict[str, Any]) -> bool:
  """Whether a config.json is of a language model of the family."""
  return fields.get("model_type") in _LANGUAGE_MODELS


def refuse_alone(fields: dict[str, Any], dtype: str) -> names.Described:
  """Raises ValueError: a language model alone is no model of the family."""
  raise ValueError(
    f"a {fields['model_type']} sees and hears with encoders of their own: give"
    " --vision=CLIP and --audio=BEATs.pt too"
  )


def refuse_export(model: configs.Model) -> dict[str, Any]:
  """Raises ValueError: transformers has no such network."""
  raise ValueError("transformers has no network of CLIP, BEATs and Q-Formers")


def decoder(fields: dict[str, Any]) -> configs.Decoder:
  """The language model of a config.json, without boundary tokens.

  Raises:
    ValueError: it is another network, or a size is none.
  """
  kind = fields.get("model_type")
  if kind not in _LANGUAGE_MODELS:
    raise ValueError(
      f"model_type is {kind!r}; a language model of this family is"
      f" {' or '.join(_LANGUAGE_MODELS)}"
    )
  _demand(fields, "hidden_act", "silu", "silu")
  _demand(fields, "use_sliding_window", False, False)
  _demand(fields, "mlp_bias", False, False)
  heads = _size(fields, "num_attention_heads", 32)
  width = _size(fields, "hidden_size", 4096)
  head_size = fields.get("head_dim") or width // heads
  return configs.Decoder(
    layers=_size(fields, "num_hidden_layers", 32),
    width=width,
    heads=heads,
    # Absent, or null: every query head has its own.
    kv_heads=fields.get("num_key_value_heads") or heads,
    head_size=head_size,
    mlp=_size(fields, "intermediate_size", 11008 if kind == "llama" else 22016),
    vocabulary=_size(
      fields, "vocab_size", 32000 if kind == "llama" else 151936
    ),
    rope_theta=_theta(fields),
    # Plain rotary positions are those of time alone.
    rope_sections=(head_size // 2, 0, 0),
    context=_size(
      fields, "max_position_embeddings", 2048 if kind == "llama" else 32768
    ),
    norm_epsilon=_number(fields, "rms_norm_eps", 1e-6),
    qkv_bias=_biased(fields, kind),
  )


def _biased(fields: dict[str, Any], kind: str) -> bool:
  """Whether q, k and v have biases; o never may."""
  if kind == "qwen2":
    return True
  # LLaMA's flag gives o_proj one too, which our decoder has not got.
  _demand(fields, "attention_bias", False, False)
  return False


def _theta(fields: dict[str, Any]) -> float:
  """The base of unscaled rotary positions, by the keys of 4.x or 5.x."""
  rope = fields.get("rope_scaling") or fields.get("rope_parameters") or {}
  kind = rope.get("rope_type", rope.get("type", "default"))
  if kind != "default" or rope.get("partial_rotary_factor", 1) != 1:
    raise ValueError(f"its rotary positions are {rope!r}, and ours plain")
  return _number(rope if "rope_theta" in rope else fields, "rope_theta", 1e4)


def clip(fields: dict[str, Any], **projector: Any) -> configs.ClipVision:
  """The vision transformer of a CLIP, without its last layer.

  Args:
    fields: config.json, of the whole CLIP or of the transformer alone.
    projector: fields of its projector.

  Raises:
    ValueError: it is another network, or a size is none.
  """
  if fields.get("model_type") == "clip":
    fields = fields.get("vision_config") or {}
  elif fields.get("model_type") != "clip_vision_model":
    raise ValueError(f"model_type is {fields.get('model_type')!r}, no CLIP")
  _demand(fields, "hidden_act", "quick_gelu", "quick_gelu")
  _demand(fields, "layer_norm_eps", 1e-5, 1e-5)
  _demand(fields, "num_channels", 3, 3)
  layers = _size(fields, "num_hidden_layers", 12)
  if layers < 2:
    raise ValueError("the last but one of its layers is read, and it has one")
  return configs.ClipVision(
    frame_size=_size(fields, "image_size", 224),
    patch=_size(fields, "patch_size", 32),
    # The last one's output is read by nobody.
    layers=layers - 1,
    width=_size(fields, "hidden_size", 768),
    heads=_size(fields, "num_attention_heads", 12),
    mlp=_size(fields, "intermediate_size", 3072),
    **projector,
  )


# Of BEATs: what our network is, and no other value.
_BEATS = {
  "deep_norm": True,
  "layer_norm_first": False,
  "relative_position_embedding": True,
  "gru_rel_pos": True,
  "activation_fn": "gelu",
  "conv_bias": False,
}
_BEATS_SIZES = {
  "layers": "encoder_layers",
  "width": "encoder_embed_dim",
  "heads": "encoder_attention_heads",
  "mlp": "encoder_ffn_embed_dim",
  "embed": "embed_dim",
  "patch": "input_patch_size",
  "conv_taps": "conv_pos",
  "conv_groups": "conv_pos_groups",
  "buckets": "num_buckets",
  "max_distance": "max_distance",
}


def beats(cfg: dict[str, Any], **projector: Any) -> configs.BeatsAudio:
  """The BEATs of a released file's `cfg`.

  Args:
    cfg: the settings.
    projector: fields of its projector.

  Raises:
    ValueError: it is another network, or a setting is missing.
  """
  missing = [k for k in (*_BEATS, *_BEATS_SIZES.values()) if k not in cfg]
  if missing:
    raise ValueError(f"cfg of BEATs lacks {', '.join(missing)}")
  for key, wanted in _BEATS.items():
    _demand(cfg, key, wanted, wanted)
  sizes: dict[str, Any] = {
    ours: _size(cfg, name, 0) for ours, name in _BEATS_SIZES.items()
  }
  return configs.BeatsAudio(**sizes, **projector)


def _size(fields: dict[str, Any], key: str, default: int) -> int:
  found = fields.get(key, default)
  if not isinstance(found, int) or isinstance(found, bool) or found < 1:
    raise ValueError(f"{key} is {found!r} and no positive integer")
  return found


def _number(fields: dict[str, Any], key: str, default: float) -> float:
  found = fields.get(key, default)
  if (
    not isinstance(found, int | float)
    or isinstance(found, bool)
    or not math.isfinite(found)
    or found <= 0
  ):
    raise ValueError(f"{key} is {found!r} and no positive number")
  return float(found)


def _demand(fields: dict[str, Any], key: str, default: Any, wanted: Any):
  found = fields.get(key, default)
  if found != wanted:
    raise ValueError(f"{key} is {found!r}, and our network has {wanted!r}")

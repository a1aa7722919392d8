"""config.json of a checkpoint of Qwen2.5-Omni <-> `configs.Model`.

A field that is absent has the default of transformers' class, which is what
`save_pretrained` leaves out. What our thinker has not got (another activation,
sliding windows, scaled rotary positions) is an error and never ignored:
`checkpoint_keys` says what becomes of every key.

Reference: configuration_qwen2_5_omni.py of transformers 5.24.
"""

import math
from collections.abc import Mapping
from typing import Any

from crab_jax import configs
from crab_jax.paradigms import names
from crab_jax.paradigms.qwen2_5_omni import checkpoint_keys

_MODEL_TYPES = ("qwen2_5_omni", "qwen2_5_omni_thinker")

# part -> {our field: (field of config.json, transformers' default)}.
_SIZES: Mapping[str, dict[str, tuple[str, int]]] = {
  "audio_config": {
    "bins": ("num_mel_bins", 128),
    "layers": ("encoder_layers", 32),
    "width": ("d_model", 1280),
    "heads": ("encoder_attention_heads", 20),
    "mlp": ("encoder_ffn_dim", 5120),
  },
  "vision_config": {
    "layers": ("depth", 32),
    "width": ("hidden_size", 3584),
    "heads": ("num_heads", 16),
    "mlp": ("intermediate_size", 3420),
    "patch": ("patch_size", 14),
    "unit_frames": ("temporal_patch_size", 2),
    "merge": ("spatial_merge_size", 2),
    "window": ("window_size", 112),
  },
  "text_config": {
    "layers": ("num_hidden_layers", 28),
    "width": ("hidden_size", 3584),
    "heads": ("num_attention_heads", 28),
    "kv_heads": ("num_key_value_heads", 4),
    "mlp": ("intermediate_size", 18944),
    "vocabulary": ("vocab_size", 152064),
    "context": ("max_position_embeddings", 32768),
  },
}
_FULL_BLOCKS = (7, 15, 23, 31)
_SECTIONS = (16, 24, 24)
_THETA = 1e6  # of the decoder
_VISION_THETA = 1e4
_POSITIONS = 25  # a second of video
# Of the decoder and of the vision tower: the names of unscaled positions.
_ROPES = {
  "text_config": ("default", "mrope"),
  "vision_config": ("axial", "default"),
}


def recognises(fields: dict[str, Any]) -> bool:
  """Whether a config.json is of this family, or claims nothing else."""
  if fields.get("model_type") not in (None, *_MODEL_TYPES):
    return False
  return "thinker_config" in fields or "audio_config" in fields


def read(fields: dict[str, Any], dtype: str) -> names.Described:
  """What a config.json describes; `dtype` is that of the weights.

  Raises:
    ValueError, TypeError, AttributeError: it describes another network.
  """
  parts = _parts(fields)
  audio, vision, text = (parts[name] for name in checkpoint_keys.PARTS)
  decoder = _decoder(text)
  model = configs.Model(
    audio=_audio(audio, decoder.width),
    vision=_vision(vision, decoder.width),
    decoder=decoder,
    positions_per_second=_positions(parts[checkpoint_keys.THINKER]),
    compute_dtype=dtype,
    param_dtype=dtype,
  )
  return names.Described(
    model,
    tied=_tied(parts[checkpoint_keys.THINKER], text),
    notes=tuple(
      note
      for name, part in parts.items()
      for note in checkpoint_keys.notes(name, part)
    ),
  )


def _parts(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
  """The checked parts by name, keys under their own names."""
  found = {"config": fields}
  thinker = fields
  if "thinker_config" in fields:
    thinker = _object("thinker_config", fields["thinker_config"])
  else:
    found = {}
  found[checkpoint_keys.THINKER] = thinker
  for name in checkpoint_keys.PARTS:
    if name not in thinker:
      raise ValueError(f"no {name}: this is no Qwen2.5-Omni")
    found[name] = _object(name, thinker[name])
  for name, part in found.items():
    checkpoint_keys.check(name, part)
  return {
    name: checkpoint_keys.without_aliases(name, part)
    for name, part in found.items()
  }


def _object(name: str, value: Any) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise TypeError(f"{name} is {value!r} and no JSON object")
  return value


def _audio(audio: dict[str, Any], width: int) -> configs.AudioTower:
  # Our projection writes the decoder's width and no other.
  _demand("audio_config", audio, "output_dim", 3584, width)
  window = _size("audio_config", audio, "n_window", 100)
  table = _size("audio_config", audio, "max_source_positions", 1500)
  if table < window:
    raise ValueError(
      f"max_source_positions of audio_config is {table}, fewer than the"
      f" n_window={window} positions of a chunk"
    )
  sizes = _sizes("audio_config", audio)
  # `n_window` counts positions behind the convolution of stride 2.
  return configs.AudioTower(unit_frames=2 * window, **sizes)


def _vision(vision: dict[str, Any], width: int) -> configs.VisionTower:
  _demand("vision_config", vision, "out_hidden_size", 3584, width)
  sizes = _sizes("vision_config", vision)
  if (theta := _rope("vision_config", vision, _VISION_THETA)[0]) != 1e4:
    raise ValueError(
      f"rope_theta of vision_config is {theta!r}, and the thinker has 10000.0"
    )
  if vision.get("head_dim") is not None:
    heads = sizes["width"] // sizes["heads"]
    _demand("vision_config", vision, "head_dim", heads, heads)
  blocks = vision.get("fullatt_block_indexes", _FULL_BLOCKS)
  if not isinstance(blocks, list | tuple) or not all(map(_is_int, blocks)):
    raise TypeError(
      f"fullatt_block_indexes of vision_config is {blocks!r} and no list of"
      " integers"
    )
  # The number of no block has no effect in transformers either.
  blocks = tuple(sorted({x for x in blocks if 0 <= x < sizes["layers"]}))
  return configs.VisionTower(full_blocks=blocks, **sizes)


def _decoder(text: dict[str, Any]) -> configs.Decoder:
  fields = dict(text)
  # Null stands for as many as query heads; absent for the class's default.
  if fields.get("num_key_value_heads", 0) is None:
    fields["num_key_value_heads"] = fields.get("num_attention_heads", 28)
  sizes = _sizes("text_config", fields)
  theta, rope = _rope("text_config", text, _THETA)
  sections = rope.get("mrope_section", _SECTIONS)
  if not isinstance(sections, list | tuple):
    raise TypeError(f"mrope_section of text_config is {sections!r}, no list")
  kinds = text.get("layer_types")
  if kinds is not None and set(kinds) != {"full_attention"}:
    raise ValueError(
      f"layer_types of text_config names {', '.join(sorted(set(kinds)))}, and"
      " the thinker has full_attention alone"
    )
  head_size = sizes["width"] // sizes["heads"]
  if text.get("head_dim") is not None:
    head_size = _size("text_config", text, "head_dim", head_size)
  return configs.Decoder(
    head_size=head_size,
    rope_theta=theta,
    rope_sections=tuple(sections),
    norm_epsilon=text.get("rms_norm_eps", 1e-6),
    **sizes,
  )


def _rope(
  name: str, part: dict[str, Any], default: float
) -> tuple[float, dict[str, Any]]:
  """The base of a part's rotary positions, and what else is said of them.

  4.x says rope_scaling and rope_theta, 5.x rope_parameters; the older key
  wins where both are there, as in transformers.
  """
  key = "rope_scaling" if part.get("rope_scaling") else "rope_parameters"
  rope = _object(f"{key} of {name}", part.get(key) or {})
  for field in ("rope_type", "type"):
    if field in rope and rope[field] not in _ROPES[name]:
      raise ValueError(
        f"{field} of {key} of {name} is {rope[field]!r}, and the thinker has"
        f" {' or '.join(map(repr, _ROPES[name]))}"
      )
  known = ("rope_type", "type", "rope_theta", "mrope_section")
  neutral = {"partial_rotary_factor": 1, "mrope_interleaved": False}
  for field, value in rope.items():
    if field not in known and value not in (None, neutral.get(field)):
      raise ValueError(
        f"{field} of {key} of {name} is {value!r}, and the thinker knows only"
        f" {', '.join(known)}"
      )
  theta = rope.get("rope_theta", part.get("rope_theta", default))
  if not _is_number(theta):
    raise TypeError(f"rope_theta of {name} is {theta!r} and no number")
  return float(theta), rope


def _positions(thinker: dict[str, Any]) -> float | None:
  """`Model.positions_per_second`."""
  found = thinker.get("position_id_per_seconds", _POSITIONS)
  if not _is_number(found):
    raise TypeError(f"position_id_per_seconds is {found!r} and no number")
  # That of one position an audio token, which is what None stands for.
  return None if found == _POSITIONS else float(found)


def _tied(thinker: dict[str, Any], text: dict[str, Any]) -> bool:
  """Whether lm_head and the embeddings are one tensor where one is missing.

  5.x asks the thinker; 4.x, which left that key out, asked the decoder.
  """
  of_text = text.get("tie_word_embeddings", False)
  return bool(thinker.get("tie_word_embeddings", of_text))


def _sizes(name: str, part: dict[str, Any]) -> dict[str, Any]:
  """The sizes of a part by the names of our fields; all are integers."""
  return {
    ours: _size(name, part, theirs, default)
    for ours, (theirs, default) in _SIZES[name].items()
  }


def _size(name: str, part: dict[str, Any], key: str, default: int) -> int:
  found = part.get(key, default)
  if not _is_int(found) or found < 1:
    raise ValueError(f"{key} of {name} is {found!r} and no positive integer")
  return found


def _is_int(value: Any) -> bool:
  # `True` is an int in Python, and JSON has true.
  return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
  return (_is_int(value) or isinstance(value, float)) and math.isfinite(value)


def _demand(
  name: str, part: dict[str, Any], key: str, default: int, wanted: int
) -> None:
  found = part.get(key, default)
  if found != wanted:
    raise ValueError(
      f"{key} of {name} is {found!r}, and the thinker has {wanted!r}"
    )


def write(model: configs.Model) -> dict[str, Any]:
  """config.json of a thinker of transformers with the network of `model`.

  Raises:
    ValueError: transformers has no such network.
  """
  audio = configs.AudioTower.of(model.audio)
  vision = configs.VisionTower.of(model.vision)
  decoder = model.decoder
  if audio.pool != 2:
    raise ValueError(f"AudioTower.pool={audio.pool}, and transformers has 2")
  if not decoder.qkv_bias:
    raise ValueError("Decoder.qkv_bias=False, and transformers has biases")
  rate = model.position_rate
  return {
    "architectures": ["Qwen2_5OmniThinkerForConditionalGeneration"],
    "model_type": "qwen2_5_omni_thinker",
    "dtype": model.param_dtype,
    "tie_word_embeddings": False,
    "position_id_per_seconds": int(rate) if rate == int(rate) else rate,
    "audio_config": {
      **_their_sizes("audio_config", audio),
      "model_type": "qwen2_5_omni_audio_encoder",
      "n_window": audio.unit_frames // 2,
      # A table of at least a chunk's positions; its rows do not depend on it.
      "max_source_positions": max(1500, audio.unit_positions),
      "output_dim": decoder.width,
    },
    "vision_config": {
      **_their_sizes("vision_config", vision),
      "model_type": "qwen2_5_omni_vision_encoder",
      "fullatt_block_indexes": list(vision.full_blocks),
      "out_hidden_size": decoder.width,
    },
    "text_config": {
      **_their_sizes("text_config", decoder),
      "model_type": "qwen2_5_omni_text",
      "head_dim": decoder.head_size,
      "rms_norm_eps": decoder.norm_epsilon,
      "rope_parameters": {
        "rope_type": "default",
        "rope_theta": decoder.rope_theta,
        "mrope_section": list(decoder.rope_sections),
      },
      "tie_word_embeddings": False,
    },
  }


def _their_sizes(name: str, settings: Any) -> dict[str, int]:
  return {
    theirs: getattr(settings, ours)
    for ours, (theirs, _) in _SIZES[name].items()
  }

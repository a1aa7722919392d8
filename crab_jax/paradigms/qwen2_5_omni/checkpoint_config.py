"""config.json of a checkpoint of Qwen2.5-Omni -> `configs.Model`.

A field that is absent has the default of transformers' class, which is what
`save_pretrained` leaves out. What our thinker has not got (another activation,
sliding windows, another epsilon) is an error and never ignored.
"""

from typing import Any

from crab_jax import configs

# part -> {field: the only value that the thinker computes}.
_FIXED = {
  "audio_config": {
    "activation_function": "gelu",
    "scale_embedding": False,
  },
  "vision_config": {"hidden_act": "silu", "in_channels": 3},
  "text_config": {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "use_sliding_window": False,
  },
}

# part -> {our field: (field of config.json, transformers' default)}.
_SIZES = {
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


def recognises(fields: dict[str, Any]) -> bool:
  """Whether a config.json is of this family, or claims nothing else."""
  return "thinker_config" in fields or "audio_config" in fields


def read(fields: dict[str, Any], dtype: str) -> configs.Model:
  """The model of a config.json; `dtype` is that of its weights.

  Raises:
    ValueError, TypeError, AttributeError: it describes another network.
  """
  return _model(fields.get("thinker_config", fields), dtype)


def _model(thinker: dict[str, Any], dtype: str) -> configs.Model:
  for name in _FIXED:
    if name not in thinker:
      raise ValueError(f"no {name}: this is no Qwen2.5-Omni")
    _demand(name, thinker[name], _FIXED[name])
  audio, vision, text = (thinker[name] for name in _FIXED)
  decoder = _decoder(text)
  _demand("audio_config", audio, {"output_dim": decoder.width}, 3584)
  _demand("vision_config", vision, {"out_hidden_size": decoder.width}, 3584)
  rope = vision.get("rope_parameters") or {}
  _demand("the rope of vision_config", rope, {"rope_theta": 1e4})
  blocks = vision.get("fullatt_block_indexes", (7, 15, 23, 31))
  return configs.Model(
    audio=configs.AudioTower(
      unit_frames=2 * audio.get("n_window", 100),
      **_sizes("audio_config", audio),
    ),
    vision=configs.VisionTower(
      full_blocks=tuple(blocks), **_sizes("vision_config", vision)
    ),
    decoder=decoder,
    compute_dtype=dtype,
    param_dtype=dtype,
  )


def _decoder(text: dict[str, Any]) -> configs.Decoder:
  sizes = _sizes("text_config", text)
  # 4.x says rope_scaling and rope_theta, 5.x rope_parameters.
  rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
  _demand("the rope of text_config", rope, {"rope_type": "default"})
  head_size = text.get("head_dim") or sizes["width"] // sizes["heads"]
  return configs.Decoder(
    head_size=head_size,
    rope_theta=rope.get("rope_theta", text.get("rope_theta", 1e6)),
    rope_sections=tuple(rope.get("mrope_section", (16, 24, 24))),
    **sizes,
  )


def _sizes(name: str, part: dict[str, Any]) -> dict[str, Any]:
  """The sizes of a part by the names of our fields; all are integers."""
  return {
    ours: part.get(theirs, default)
    for ours, (theirs, default) in _SIZES[name].items()
  }


def _demand(name: str, part: dict, wanted: dict, default: Any = None) -> None:
  for field, value in wanted.items():
    found = part.get(field, value if default is None else default)
    if found != value:
      raise ValueError(
        f"{field} of {name} is {found!r}, and the thinker has {value!r}"
      )

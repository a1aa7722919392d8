"""A tiny random checkpoint in the layout of Qwen2.5-Omni, for tests."""

import json
import pathlib

import ml_dtypes
import numpy as np
import safetensors.numpy

from crab_jax import configs
from crab_jax.weights import hf_config

CONFIG = {
  "model_type": "qwen2_5_omni",
  "talker_config": {"model_type": "qwen2_5_omni_talker"},
  "thinker_config": {
    "audio_config": {
      "num_mel_bins": 8,
      "encoder_layers": 2,
      "d_model": 16,
      "encoder_attention_heads": 2,
      "encoder_ffn_dim": 20,
      "n_window": 20,
      "output_dim": 24,
    },
    "vision_config": {
      "depth": 3,
      "hidden_size": 16,
      "num_heads": 2,
      "intermediate_size": 12,
      "out_hidden_size": 24,
      "fullatt_block_indexes": [1],
    },
    "text_config": {
      "num_hidden_layers": 3,
      "hidden_size": 24,
      "num_attention_heads": 4,
      "num_key_value_heads": 2,
      "intermediate_size": 28,
      "vocab_size": 40,
      "rope_theta": 10000.0,
      "rope_scaling": {"type": "default", "mrope_section": [1, 1, 1]},
    },
  },
}

# Names and torch shapes, written by hand and not taken from the product.
_AUDIO_LAYER = {
  "self_attn.k_proj.weight": (16, 16),
  "self_attn.v_proj.weight": (16, 16),
  "self_attn.v_proj.bias": (16,),
  "self_attn.q_proj.weight": (16, 16),
  "self_attn.q_proj.bias": (16,),
  "self_attn.out_proj.weight": (16, 16),
  "self_attn.out_proj.bias": (16,),
  "self_attn_layer_norm.weight": (16,),
  "self_attn_layer_norm.bias": (16,),
  "fc1.weight": (20, 16),
  "fc1.bias": (20,),
  "fc2.weight": (16, 20),
  "fc2.bias": (16,),
  "final_layer_norm.weight": (16,),
  "final_layer_norm.bias": (16,),
}
_VISION_BLOCK = {
  "norm1.weight": (16,),
  "norm2.weight": (16,),
  **{f"attn.{name}.weight": (16, 16) for name in ("q", "k", "v", "proj")},
  **{f"attn.{name}.bias": (16,) for name in ("q", "k", "v", "proj")},
  "mlp.gate_proj.weight": (12, 16),
  "mlp.gate_proj.bias": (12,),
  "mlp.up_proj.weight": (12, 16),
  "mlp.up_proj.bias": (12,),
  "mlp.down_proj.weight": (16, 12),
  "mlp.down_proj.bias": (16,),
}
_DECODER_LAYER = {
  "self_attn.q_proj.weight": (24, 24),
  "self_attn.q_proj.bias": (24,),
  "self_attn.k_proj.weight": (12, 24),
  "self_attn.k_proj.bias": (12,),
  "self_attn.v_proj.weight": (12, 24),
  "self_attn.v_proj.bias": (12,),
  "self_attn.o_proj.weight": (24, 24),
  "mlp.gate_proj.weight": (28, 24),
  "mlp.up_proj.weight": (28, 24),
  "mlp.down_proj.weight": (24, 28),
  "input_layernorm.weight": (24,),
  "post_attention_layernorm.weight": (24,),
}
_SINGLE = {
  "audio_tower.conv1.weight": (16, 8, 3),
  "audio_tower.conv1.bias": (16,),
  "audio_tower.conv2.weight": (16, 16, 3),
  "audio_tower.conv2.bias": (16,),
  "audio_tower.ln_post.weight": (16,),
  "audio_tower.ln_post.bias": (16,),
  "audio_tower.proj.weight": (24, 16),
  "audio_tower.proj.bias": (24,),
  "visual.patch_embed.proj.weight": (16, 3, 2, 14, 14),
  "visual.merger.ln_q.weight": (16,),
  "visual.merger.mlp.0.weight": (64, 64),
  "visual.merger.mlp.0.bias": (64,),
  "visual.merger.mlp.2.weight": (24, 64),
  "visual.merger.mlp.2.bias": (24,),
  "model.embed_tokens.weight": (40, 24),
  "model.norm.weight": (24,),
  "lm_head.weight": (40, 24),
}
_LAYERS = {
  "audio_tower.layers": (2, _AUDIO_LAYER),
  "visual.blocks": (3, _VISION_BLOCK),
  "model.layers": (3, _DECODER_LAYER),
}


def shapes() -> dict[str, tuple[int, ...]]:
  """Every tensor of the thinker, without the prefix "thinker."."""
  return _SINGLE | {
    f"{prefix}.{layer}.{name}": shape
    for prefix, (count, one) in _LAYERS.items()
    for layer in range(count)
    for name, shape in one.items()
  }


def tensors(seed=0, dtype=ml_dtypes.bfloat16) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
    name: rng.standard_normal(shape).astype(dtype)
    for name, shape in shapes().items()
  }


def newest(name: str) -> str:
  """A name of the first generation (no prefix) in transformers 5.23's form."""
  if name.startswith("model."):
    return "model.language_model." + name.removeprefix("model.")
  return name if name.startswith("lm_head") else "model." + name


def write(folder: pathlib.Path, shards: list[dict], config=CONFIG) -> None:
  """A folder of shards with their index."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "config.json").write_text(json.dumps(config))
  places = {}
  for number, shard in enumerate(shards):
    file = f"model-{number:05}.safetensors"
    safetensors.numpy.save_file(shard, folder / file)
    places.update(dict.fromkeys(shard, file))
  if len(shards) > 1:
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def halves(found: dict) -> list[dict]:
  """Two shards, every layer's tensors spread over both."""
  names = sorted(found)
  return [{name: found[name] for name in names[part::2]} for part in (0, 1)]


def model(folder: pathlib.Path) -> configs.Model:
  """The configuration of the checkpoint."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "config.json").write_text(json.dumps(CONFIG))
  return hf_config.read(folder, "bfloat16")

"""config.json of a SAM 2.1 folder of transformers, as our settings.

Keys that change the network are read, or compared with the only value that
this network has; keys of the video's memory change nothing here.
"""

import json
from typing import Any

from crab_jax import configs
from crab_jax import errors
from crab_jax import files

FILE = "config.json"
_KINDS = ("sam2", "sam2_video")
# The only value that the network has of these keys, by the part they are in.
_FIXED: dict[str, dict[str, Any]] = {
  "vision_config": {
    "fpn_kernel_size": 1,
    "fpn_stride": 1,
    "fpn_padding": 0,
    "fpn_top_down_levels": [2, 3],
    "num_feature_levels": 3,
  },
  "backbone_config": {
    "num_channels": 3,
    "patch_kernel_size": [7, 7],
    "patch_stride": [4, 4],
    "patch_padding": [3, 3],
    "query_stride": [2, 2],
    "num_query_pool_stages": 3,
    "mlp_ratio": 4.0,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
  },
  "prompt_encoder_config": {
    "patch_size": 16,
    "num_point_embeddings": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "scale": 1,
  },
  "mask_decoder_config": {
    "hidden_act": "gelu",
    "num_hidden_layers": 2,
    "attention_downsample_rate": 2,
    "num_multimask_outputs": 3,
    "iou_head_depth": 3,
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
  },
}


def read(folder: files.Path) -> configs.Sam2:
  """The shapes of the checkpoint in a folder.

  Raises:
    UserError: there is no config.json, or one of another network; names the
      key.
  """
  path = folder / FILE
  if not path.is_file():
    raise errors.UserError(f"{path} is missing")
  try:
    fields = json.loads(path.read_text())
    return _config(fields)
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


def _config(fields: dict[str, Any]) -> configs.Sam2:
  kind = fields.get("model_type")
  if kind not in _KINDS:
    raise ValueError(f"model_type is {kind!r} and not one of {_KINDS}")
  vision = _part(fields, "vision_config")
  backbone = _part(vision, "backbone_config")
  prompt = _part(fields, "prompt_encoder_config")
  decoder = _part(fields, "mask_decoder_config")
  # Keys that are left out have the values of hiera-tiny, as in transformers.
  usual = configs.Sam2()
  side = backbone.get("window_positional_embedding_background_size", [7, 7])
  size = backbone.get("image_size", [usual.image_size] * 2)
  config = configs.Sam2(
    image_size=_square("image_size", size),
    width=backbone.get("hidden_size", usual.width),
    heads=backbone.get("num_attention_heads", usual.heads),
    blocks=tuple(backbone.get("blocks_per_stage", usual.blocks)),
    windows=tuple(backbone.get("window_size_per_stage", usual.windows)),
    global_blocks=tuple(
      backbone.get("global_attention_blocks", usual.global_blocks)
    ),
    background=_square("window_positional_embedding_background_size", side),
    features=vision.get("fpn_hidden_size", usual.features),
    mask_channels=prompt.get("mask_input_channels", usual.mask_channels),
    decoder_heads=decoder.get("num_attention_heads", usual.decoder_heads),
    decoder_mlp=decoder.get("mlp_dim", usual.decoder_mlp),
    iou_hidden=decoder.get("iou_head_hidden_dim", usual.iou_hidden),
  )
  heads = [config.heads * 2**stage for stage in range(len(config.blocks))]
  derived = {
    "embed_dim_per_stage": (backbone, list(config.widths)),
    "num_attention_heads_per_stage": (backbone, heads),
    "backbone_channel_list": (vision, list(config.widths[::-1])),
    "image_size": (prompt, config.image_size),
  }
  for key, (part, value) in derived.items():
    _require(key, part.get(key, value), value)
  for name, part in (("prompt_encoder", prompt), ("mask_decoder", decoder)):
    width = part.get("hidden_size", config.features)
    _require(f"{name}_config.hidden_size", width, config.features)
  return config


def fields(config: configs.Sam2) -> dict[str, Any]:
  """The config.json of a mask model, for transformers."""
  side, stages = config.image_size, range(len(config.blocks))
  background = [config.background] * 2
  backbone = {
    **_FIXED["backbone_config"],
    "model_type": "sam2_hiera_det_model",
    "image_size": [side, side],
    "hidden_size": config.width,
    "num_attention_heads": config.heads,
    "blocks_per_stage": list(config.blocks),
    "embed_dim_per_stage": list(config.widths),
    "num_attention_heads_per_stage": [config.heads * 2**n for n in stages],
    "window_size_per_stage": list(config.windows),
    "global_attention_blocks": list(config.global_blocks),
    "window_positional_embedding_background_size": background,
  }
  vision = {
    **_FIXED["vision_config"],
    "model_type": "sam2_vision_model",
    "backbone_config": backbone,
    "backbone_channel_list": list(config.widths[::-1]),
    "backbone_feature_sizes": [[side // n] * 2 for n in (4, 8, 16)],
    "fpn_hidden_size": config.features,
  }
  prompt = {
    **_FIXED["prompt_encoder_config"],
    "hidden_size": config.features,
    "image_size": side,
    "mask_input_channels": config.mask_channels,
  }
  decoder = {
    **_FIXED["mask_decoder_config"],
    "hidden_size": config.features,
    "mlp_dim": config.decoder_mlp,
    "num_attention_heads": config.decoder_heads,
    "iou_head_hidden_dim": config.iou_hidden,
  }
  return {
    "model_type": "sam2",
    "architectures": ["Sam2Model"],
    "vision_config": vision,
    "prompt_encoder_config": prompt,
    "mask_decoder_config": decoder,
  }


def _part(fields: dict[str, Any], name: str) -> dict[str, Any]:
  """A nested part, its fixed keys compared."""
  part = fields.get(name) or {}
  for key, value in _FIXED[name].items():
    _require(f"{name}.{key}", part.get(key, value), value)
  return part


def _require(key: str, found: Any, wanted: Any) -> None:
  if found != wanted:
    raise ValueError(f"{key} is {found} and not {wanted}")


def _square(key: str, sides: Any) -> int:
  if isinstance(sides, int):
    return sides
  rows, columns = sides
  _require(key, sides, [rows, rows])
  return columns

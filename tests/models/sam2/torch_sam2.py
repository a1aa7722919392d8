"""transformers' Sam2Model with random weights, and our parameters of it."""

import dataclasses

import flax.traverse_util
import numpy as np
import torch
import transformers
from transformers.models import sam2 as _sam2  # noqa: F401 (registers it)

from crab_jax import configs
from crab_jax.weights import sam2_names

# Windows of 6 and 3 on maps of 8 x 8 and 4 x 4 need padding.
TINY = configs.Sam2(
  image_size=128,
  width=16,
  blocks=(1, 2, 3, 2),
  windows=(8, 4, 6, 3),
  global_blocks=(4,),
  features=32,
  decoder_heads=4,
  decoder_mlp=64,
  iou_hidden=32,
)


def build(
  config: configs.Sam2,
  seed: int = 0,
  bias: float = 0.0,
  attention: str = "eager",
):
  """A Sam2Model of the shapes of `config`, every parameter random.

  The library's initialisation leaves embeddings and biases at zero.

  Args:
    config: the shapes.
    seed: of the numbers.
    bias: added to the score of the object's presence.
    attention: the library's name of a way to attend.
  """
  model = transformers.Sam2Model._from_config(
    _settings(config), attn_implementation=attention
  ).eval()
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, parameter in sorted(model.named_parameters()):
      drawn = torch.randn(parameter.shape, generator=generator)
      parameter.copy_(_scaled(name, parameter, drawn))
    gaussian = torch.randn(2, config.features // 2, generator=generator)
    for owner in (
      model.shared_image_embedding,
      model.prompt_encoder.shared_embedding,
    ):
      owner.positional_embedding.copy_(gaussian)
  return model


def _settings(config: configs.Sam2):
  sides = [[config.image_size // s] * 2 for s in (4, 8, 16)]
  heads = [config.heads * 2**stage for stage in range(4)]
  backbone = transformers.Sam2HieraDetConfig(
    hidden_size=config.width,
    image_size=[config.image_size] * 2,
    num_attention_heads=config.heads,
    blocks_per_stage=list(config.blocks),
    embed_dim_per_stage=list(config.widths),
    num_attention_heads_per_stage=heads,
    window_size_per_stage=list(config.windows),
    global_attention_blocks=list(config.global_blocks),
    window_positional_embedding_background_size=[config.background] * 2,
  )
  vision = transformers.Sam2VisionConfig(
    backbone_config=backbone,
    backbone_channel_list=list(config.widths[::-1]),
    backbone_feature_sizes=sides,
    fpn_hidden_size=config.features,
  )
  prompt = transformers.Sam2PromptEncoderConfig(
    hidden_size=config.features, image_size=config.image_size, patch_size=16
  )
  decoder = transformers.Sam2MaskDecoderConfig(
    hidden_size=config.features,
    mlp_dim=config.decoder_mlp,
    num_attention_heads=config.decoder_heads,
    iou_head_hidden_dim=config.iou_hidden,
  )
  return transformers.Sam2Config(
    vision_config=vision,
    prompt_encoder_config=prompt,
    mask_decoder_config=decoder,
  )


def _scaled(name: str, parameter, drawn):
  """Values that keep activations of order one."""
  parts = name.split(".")
  embedding = "embed" in name and "mask_embed.conv" not in name
  # Not anywhere in the name: "cross_attn_token_to_image" is no token.
  token = len(parts) > 1 and "token" in parts[-2]
  if parameter.ndim == 1 and name.endswith(".weight"):
    return 1 + 0.1 * drawn
  if name.endswith(".bias"):
    return 0.1 * drawn
  if name.endswith(".weight") and not (embedding or token):
    return drawn / parameter[0].numel() ** 0.5
  return 0.5 * drawn


def parameters(config: configs.Sam2, model) -> dict:
  """Our tree of a model's weights."""
  state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
  flat = {
    row.path: row.layout.ours(state[row.hf]).copy()
    for row in sam2_names.rows(config)
  }
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def released(config: configs.Sam2, model) -> dict[str, np.ndarray]:
  """The weights under the names of the released files."""
  state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
  found = {}
  for row in sam2_names.rows(config):
    parts = np.split(state[row.hf], len(row.released))
    found |= dict(zip(row.released, parts, strict=True))
  return found


def at(config: configs.Sam2, image_size: int) -> configs.Sam2:
  """The same network on smaller images."""
  return dataclasses.replace(config, image_size=image_size)

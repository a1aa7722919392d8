"""A mask model that compiles in seconds, with random parameters."""

import jax
import numpy as np

from crab_jax import configs
from crab_jax.models.sam2 import network

CONFIG = configs.Sam2(
  image_size=64,
  width=8,
  blocks=(1, 1, 1, 1),
  windows=(4, 4, 4, 2),
  global_blocks=(),
  features=16,
  mask_channels=4,
  decoder_heads=2,
  decoder_mlp=16,
  iou_hidden=16,
)


def params(seed: int = 0):
  """Numbers with which masks differ with the picture and with the prompt."""
  rng = np.random.default_rng(seed)

  def leaf(path, shape):
    drawn = rng.standard_normal(shape.shape).astype(np.float32)
    if path[-1].key == "scale":
      return 1 + np.float32(0.1) * drawn
    if path[-1].key == "kernel":
      fan_in = shape.size // shape.shape[-1]
      return drawn / np.float32(fan_in**0.5)
    return np.float32(0.5) * drawn

  return jax.tree_util.tree_map_with_path(leaf, network.shapes(CONFIG))

"""The patch rows that the vision tower embeds, in numpy: the reference."""

import numpy as np

from crab_jax import configs
from crab_jax.array_types import Float
from crab_jax.array_types import UInt8

# Of the pixels' values in 0..1, red, green, blue (those of CLIP).
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def patch_rows(
  pairs: UInt8[np.ndarray, "pairs 2 H W 3"], tower: configs.VisionTower
) -> Float[np.ndarray, "patches values"]:
  """The patch rows that the vision tower embeds, in numpy.

  Args:
    pairs: uint8 RGB frame pairs, H = W = tower.frame_size.
    tower: gives the sizes of a patch and of a merged block.

  Returns:
    float32[pairs * unit_positions, 3 * 2 * patch * patch]. Rows run over merged
    blocks in raster order, inside a block over its patches in raster order;
    columns over channel, frame of the pair, pixel row, pixel column.
  """
  mean = np.array(PIXEL_MEAN, np.float32)
  std = np.array(PIXEL_STD, np.float32)
  pixels = (pairs.astype(np.float32) / 255 - mean) / std
  blocks = tower.grid // tower.merge
  split = (blocks, tower.merge, tower.patch)
  # [pairs, t, H/m, a, y, W/m, b, x, C] -> [pairs, H/m, W/m, a, b, C, t, y, x]
  pixels = pixels.reshape(len(pairs), 2, *split, *split, 3)
  pixels = pixels.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
  return pixels.reshape(len(pairs) * tower.unit_positions, -1)

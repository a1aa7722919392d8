"""Random parameters without compiling `thinker.init`, which takes seconds.

Shapes are the model's own; values follow its initialisers: ones for norms,
zeros for biases and for B, numbers of variance 1 / fan-in elsewhere.
"""

import jax
import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import thinker


def draw(config: configs.Model, seed: int = 0, b: float = 0.0):
  """A tree of numpy arrays.

  Args:
    config: the model.
    seed: of the numbers.
    b: standard deviation of the adapter's B; 0: a fresh adapter.
  """
  rng = np.random.default_rng(seed)

  def leaf(path, shape):
    name, parent = path[-1].key, path[-2].key
    if name == "bias":
      values = np.zeros(shape.shape)
    elif name == "weight" and parent != "embed_tokens":
      values = np.ones(shape.shape)
    elif name == "lora_B":
      values = b * rng.standard_normal(shape.shape)
    else:
      # [..., in, out]; a convolution also sums over its width. A vector sums
      # over nothing.
      width = shape.shape[0] if parent.startswith("conv") else 1
      inputs = shape.shape[-2] if len(shape.shape) > 1 else 1
      scale = (inputs * width) ** -0.5
      values = scale * rng.standard_normal(shape.shape)
    return values.astype(shape.dtype)

  shapes = nn.meta.unbox(thinker.abstract(config))
  return jax.tree_util.tree_map_with_path(leaf, shapes)

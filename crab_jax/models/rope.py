"""Rotary positions: TMRoPE of the decoder, two axes in the vision tower.

A rotary table is the pair (cos, sin), float32[.., H/2]: the reference
duplicates both to H and so pairs dimension k with k + H/2, as `rotate` does.
The table stays float32 whatever the compute dtype.
"""

import jax.numpy as jnp
import numpy as np

from crab_jax import array_types as at
from crab_jax import configs

Table = tuple[at.Array, at.Array]


def frequencies(size: int, theta: float) -> np.ndarray:
  """theta^(-2j/size) for j < size/2: float32[size/2]."""
  return (1.0 / theta ** (np.arange(0, size, 2) / size)).astype(np.float32)


def decoder_table(
  positions: at.Int[at.Array, "*B 3"], config: configs.Decoder
) -> Table:
  """The table of TMRoPE positions (t, h, w).

  Frequency j turns by the axis of its section: the first `rope_sections[0]`
  by t, the next by h, the last by w. Text has three equal positions.
  """
  axis = np.repeat(np.arange(3), config.rope_sections)  # [H/2]
  turns = frequencies(config.head_size, config.rope_theta)
  # [*B, 3] -> [*B, H/2]
  angles = jnp.take(positions, axis, axis=-1).astype(jnp.float32)
  angles = angles * turns.reshape((1,) * (positions.ndim - 1) + (-1,))
  return jnp.cos(angles), jnp.sin(angles)


def vision_table(coordinates: np.ndarray, head_size: int) -> Table:
  """The table of patches at (row, column): int[P, 2] -> float32[P, H/2]."""
  # Half of the dimensions turn by the row, half by the column.
  turns = frequencies(head_size // 2, 1e4)
  angles = coordinates[:, :, None].astype(np.float32) * turns  # [P, 2, H/4]
  angles = angles.reshape(len(coordinates), -1)  # rows' angles, then columns'
  return np.cos(angles), np.sin(angles)


def rotate(
  x: at.Float[at.Array, "*B T N H"], table: Table
) -> at.Float[at.Array, "*B T N H"]:
  """Turns x by the table, whose leading axes broadcast against [*B, T]."""
  cos, sin = (_over_heads(part, x.ndim) for part in table)
  half = x.shape[-1] // 2
  low = x[..., :half].astype(jnp.float32)
  high = x[..., half:].astype(jnp.float32)
  turned = [low * cos - high * sin, high * cos + low * sin]
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def _over_heads(part: at.Array, ndim: int) -> at.Array:
  """[.., T, H/2] -> [1.., T, 1, H/2] with `ndim` axes."""
  part = jnp.expand_dims(jnp.asarray(part), -2)
  return part.reshape((1,) * (ndim - part.ndim) + part.shape)

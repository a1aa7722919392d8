"""The product of a few rows by a matrix, as a step of decoding asks for it.

On a device that multiplies matrices in units of its own nothing is special
here. XLA:CPU is: one row by a bfloat16 or int8 matrix goes through a loop that
converts number by number, and two rows or more through a kernel of its own,
ten times as fast; and float32 rows make it write the matrix anew, packed,
unless the matrix comes first and holds a row an output. So, on a CPU,

  - one row of bfloat16 is computed as two, the second of zeros;
  - a float32 row by a narrow matrix is the sum of two narrow rows, the second
    what the first leaves: x = s (a + b / 254) in int8, which integers multiply
    and add exactly, or x = a + b in bfloat16;
  - float32 kernels that are `turned`, [F, D], are the first operand.

Not for training: no gradient passes through what is rounded.
"""

from typing import Any

import jax
import jax.numpy as jnp

from crab_jax import array_types as at
from crab_jax.models import products

TURNED = "kernel_rows"  # [F, D], in place of `kernel` [D, F]
_LARGEST = 127  # of int8
_STEPS = 254  # of the second row in one of the first: half a step is 127
# Eigen multiplies by four columns at least as fast as by two.
_LEAST = 4


def turn(layer: at.Tree) -> at.Tree:
  """Parameters with each `kernel` turned: a row an output, `TURNED`."""

  def turned(tree: Any) -> Any:
    if not isinstance(tree, dict):
      return tree
    found = {name: turned(value) for name, value in tree.items()}
    if "kernel" in found:
      found[TURNED] = found.pop("kernel").T
    return found

  return turned(layer)


def project(
  x: at.Float[at.Array, "*B D"],
  kernel: at.Array,
  *,
  is_turned: bool = False,
  dtype: Any = None,
) -> at.Float[at.Array, "*B F"]:
  """x kernel for few rows x; the columns of an int8 kernel are not yet scaled.

  Args:
    x: rows.
    kernel: [D, F], or [F, D]: float, or int8.
    is_turned: which of the two.
    dtype: of the result; None: that of x.
  """
  letters = "TD,FD->TF" if is_turned else "TD,DF->TF"

  def plain(x, kernel):
    return jnp.einsum(
      letters, x, kernel.astype(x.dtype), preferred_element_type=dtype
    )

  def on_cpu(x, kernel):
    if kernel.dtype == jnp.int8:
      y = _in_int8(x, kernel, letters)
    elif kernel.dtype == jnp.bfloat16:
      y = _in_bfloat16(x, kernel, letters)
    elif is_turned and len(x) > 1:
      y = _kernel_first(x, kernel.astype(x.dtype))
    else:
      return plain(x, kernel)
    return y.astype(dtype or x.dtype)

  rows = x.reshape(-1, x.shape[-1])  # [*B, D] -> [T, D]
  y = jax.lax.platform_dependent(rows, kernel, cpu=on_cpu, default=plain)
  return y.reshape(*x.shape[:-1], y.shape[-1])


def _kernel_first(x, kernel):
  rows = jnp.pad(x, ((0, max(0, _LEAST - len(x))), (0, 0)))
  # Settled, or XLA would turn the product back.
  return products.settled(jnp.einsum("FD,TD->FT", kernel, rows)).T[: len(x)]


def _in_bfloat16(x, kernel, letters):
  count = len(x)
  high = x.astype(jnp.bfloat16)
  if x.dtype == jnp.bfloat16:
    rows: Any = jnp.pad(high, ((0, max(0, 2 - count)), (0, 0)))
  else:
    low = x - high.astype(x.dtype)
    rows = jnp.concatenate([high, low.astype(jnp.bfloat16)])
  # Settled, as for zeros XLA would leave the second row out.
  rows = products.settled(rows)
  y = jnp.einsum(letters, rows, kernel, preferred_element_type=jnp.float32)
  return y[:count] if x.dtype == jnp.bfloat16 else y[:count] + y[count:]


def _in_int8(x, kernel, letters):
  wide = x.astype(jnp.float32)
  # A row of zeros has the scale 1/127, as 0 / 0 would be NaN.
  largest = jnp.max(jnp.abs(wide), axis=-1, keepdims=True)
  scale = jnp.where(largest > 0, largest, 1) / _LARGEST
  steps = wide / scale
  high = jnp.round(steps)
  low = jnp.round((steps - high) * _STEPS)
  rows = jnp.concatenate([high, low]).astype(jnp.int8)
  y = jnp.einsum(letters, rows, kernel, preferred_element_type=jnp.int32)
  y = y.astype(jnp.float32)
  return (y[: len(x)] + y[len(x) :] / _STEPS) * scale

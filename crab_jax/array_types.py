"""The legend of axes and the names of array roles.

One notation everywhere: in einsums, annotations and docstrings.

  B  batch rows              T  query tokens        S  key tokens
  D  width of the residual   N  query heads         K  kv heads
  G  query heads a kv head   H  head size           F  mlp or output width
  V  vocabulary              L  layers              P  patches, positions
  M  mel bins                R  adapter rank        E  adapter heads

The axes of a batch of packed rows are in `crab_jax.batch`.

What the number of a token's kind means (the `kinds` of a batch) is here, as
both the data path and the router's statistics speak of it.
"""

import enum

import jax
import jaxtyping
import numpy as np

# By name: a type checker sees `Annotated` here, and would take an assignment
# (`Float = jaxtyping.Float`) for a variable.
from jaxtyping import Bool as Bool
from jaxtyping import Float as Float
from jaxtyping import Int as Int
from jaxtyping import UInt8 as UInt8

PRNGKey = jaxtyping.PRNGKeyArray

Array = jax.Array | np.ndarray

# key -> array, as documented in `crab_jax.batch`.
Batch = dict[str, Array]
# A nested dict of arrays: parameters, gradients, optimizer moments.
Tree = dict


class TokenKind(enum.IntEnum):
  """What a token of a packed row is."""

  PADDING = 0
  TEXT = 1  # prompt, roles, boundaries
  VISION = 2  # replaced by an output of the vision tower
  AUDIO = 3  # replaced by an output of the audio tower
  ANSWER = 4  # supervised text

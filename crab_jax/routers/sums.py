"""What is added up of the routers' choices: one vector a token.

Sums of these vectors over tokens, devices and batches hold all that is said of
a router: means when divided by the number of tokens, quantiles by way of a
histogram. `Columns` names the parts.
"""

import dataclasses

import jax
import jax.numpy as jnp

from crab_jax import array_types as at

# Of the histogram of a token's largest gate, between 1/E and 1.
BINS = 32


@dataclasses.dataclass(frozen=True)
class Columns:
  """The columns of a token's vector.

  Gates are the weights of the heads as they are applied. Those of a token need
  not sum to one, so that wins, not gates, count tokens.

  Attributes:
    heads: E >= 2: with one there is no router.
  """

  heads: int

  @property
  def gates(self) -> slice:
    """The gates themselves."""
    return slice(0, self.heads)

  @property
  def wins(self) -> slice:
    """A one where the largest gate is; their sum counts tokens."""
    return slice(self.heads, 2 * self.heads)

  @property
  def entropy(self) -> int:
    """Entropy of the gates' shares of their sum, as a share of log E."""
    return 2 * self.heads

  @property
  def entropy_square(self) -> int:
    """The square of that share."""
    return 2 * self.heads + 1

  @property
  def logit_square(self) -> int:
    """Mean square of the logits."""
    return 2 * self.heads + 2

  @property
  def largest(self) -> slice:
    """A one in the bin of the largest gate, of `BINS` from 1/E to 1."""
    return slice(2 * self.heads + 3, self.width)

  @property
  def width(self) -> int:
    """S, the numbers of a token."""
    return 2 * self.heads + 3 + BINS


def of_tokens(
  logits: at.Float[at.Array, "*B E"], gates: at.Float[at.Array, "*B E"]
) -> at.Float[at.Array, "*B S"]:
  """The vector of every token, float32, in the order of `Columns`.

  Args:
    logits: of the router; E >= 2.
    gates: float32, as they are applied, not all 0.
  """
  logits = logits.astype(jnp.float32)
  heads = gates.shape[-1]
  won = jax.nn.one_hot(jnp.argmax(gates, -1), heads)
  shares = gates / jnp.sum(gates, -1, keepdims=True)
  # A gate of 0 ("top1") adds 0 log 0 = 0: no -inf must arise.
  entropy = -jnp.sum(shares * jnp.log(jnp.maximum(shares, 1e-30)), -1)
  share = (entropy / jnp.log(heads))[..., None]
  square = jnp.mean(logits**2, -1, keepdims=True)
  # 0 where all gates are equal, 1 where one is 1.
  height = (jnp.max(gates, -1) * heads - 1) / (heads - 1)
  # A gate of 1 belongs to the last bin.
  bins = jnp.clip((height * BINS).astype(jnp.int32), 0, BINS - 1)
  largest = jax.nn.one_hot(bins, BINS)
  return jnp.concatenate([gates, won, share, share**2, square, largest], -1)

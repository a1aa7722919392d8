"""What the routers do: gates by dataset and token kind, summed on the device.

A forward pass over one batch returns, for every adapted projection, sums over
the tokens of each group; groups are the datasets and, beside them, the kinds
of token. Padding belongs to no group.
"""

import dataclasses
import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.models import thinker


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Sums over tokens; add two of them to look at more tokens.

  Attributes:
    sums: projection path -> float64[L, Q, 2E + 2] (or [Q, 2E + 2] where
      layers are not stacked): gates, wins, entropy share, its square.
    tokens: float64[Q], tokens of each group in the decoder.
  """

  sums: dict[str, np.ndarray]
  tokens: np.ndarray

  def __add__(self, other: "Statistics") -> "Statistics":
    return Statistics(
      {name: leaf + other.sums[name] for name, leaf in self.sums.items()},
      self.tokens + other.tokens,
    )

  def gates(self, heads: int) -> dict[str, np.ndarray]:
    """Mean gates, projection -> float[L, Q, E]; NaN where no token was."""
    return {
      name: leaf[..., :heads] / _count(leaf[..., :heads])
      for name, leaf in self.sums.items()
    }

  def entropy(self, heads: int) -> dict[str, np.ndarray]:
    """Mean entropy of the gates as a share of log E: float[L, Q]."""
    return {
      name: leaf[..., 2 * heads] / _count(leaf[..., :heads])[..., 0]
      for name, leaf in self.sums.items()
    }


def _count(gates: np.ndarray) -> np.ndarray:
  """Tokens of each group: the gates of a token sum to one."""
  total = gates.sum(-1, keepdims=True)
  return np.where(total > 0, total, np.nan)


def groups(batch: array_types.Batch, tasks: int) -> jax.Array:
  """Membership of every token, float32[B, T, tasks + kinds]."""
  kinds = len(array_types.TokenKind)
  kind = jax.nn.one_hot(batch["kinds"], kinds)
  used = (batch["segments"] > 0)[..., None]
  return (
    jnp.concatenate([jax.nn.one_hot(batch["tasks"], tasks), kind], -1) * used
  )


class Watch:
  """Computes `Statistics` of a batch; compiles once for a shape."""

  def __init__(self, model: configs.Model, tasks: int):
    self._network = thinker.Thinker(model)
    self._tasks = tasks

  @functools.partial(jax.jit, static_argnums=0)
  def _sums(self, params, batch):
    member = groups(batch, self._tasks)
    _, variables = self._network.apply(
      {"params": params}, batch, groups=member, mutable=["router"]
    )
    return variables["router"], member.sum((0, 1))

  def __call__(
    self, params: array_types.Tree, batch: array_types.Batch
  ) -> Statistics:
    """Statistics of one batch, with all parameters of the model."""
    sums, tokens = self._sums(params, batch)
    flat = flax.traverse_util.flatten_dict(sums, sep="/")
    return Statistics(
      {
        name.removesuffix("/sums"): np.asarray(leaf, np.float64)
        for name, leaf in flat.items()
      },
      np.asarray(tokens, np.float64),
    )

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
from jax.experimental import multihost_utils

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import token_context
from crab_jax.paradigms import thinker
from crab_jax.routers import sums as router_sums


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Sums over tokens; the sum of two of them is that of all their tokens.

  Attributes:
    sums: projection path -> float64[L, Q, S] (or [Q, S] where layers are not
      stacked), the columns of `router_sums.Columns`.
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
    return self._means(heads, router_sums.Columns(heads).gates)

  def wins(self, heads: int) -> dict[str, np.ndarray]:
    """Share of tokens whose gate of a head is the largest: float[L, Q, E]."""
    return self._means(heads, router_sums.Columns(heads).wins)

  def entropy(self, heads: int) -> dict[str, np.ndarray]:
    """Mean entropy of the gates as a share of log E: float[L, Q]."""
    return self._means(heads, router_sums.Columns(heads).entropy)

  def _means(self, heads: int, columns: slice | int) -> dict[str, np.ndarray]:
    found = {}
    for name, leaf in self.sums.items():
      part, tokens = leaf[..., columns], token_count(leaf, heads)
      # A group without tokens has no mean: NaN, and no warning of numpy.
      tokens = np.where(tokens > 0, tokens, np.nan)
      wide = part.ndim > tokens.ndim
      found[name] = part / (tokens[..., None] if wide else tokens)
    return found


def token_count(
  sums: at.Float[np.ndarray, "*L S"], heads: int
) -> at.Float[np.ndarray, "*L"]:
  """Tokens that were added up: each is won by one head."""
  return sums[..., router_sums.Columns(heads).wins].sum(-1)


def groups(batch: at.Batch, tasks: int) -> jax.Array:
  """Membership of every token, float32[B, T, tasks + kinds]."""
  kinds = len(at.TokenKind)
  kind = jax.nn.one_hot(batch["kinds"], kinds)
  used = (batch["segments"] > 0)[..., None]
  return (
    jnp.concatenate([jax.nn.one_hot(batch["tasks"], tasks), kind], -1) * used
  )


def sample_groups(batch: at.Batch) -> jax.Array:
  """Membership of every token in the samples: float32[B, T, B * Q].

  Sample q of row b is group b * Q + q, as in `batch["sample_ids"]`.
  """
  rows, each = batch["sample_ids"].shape[:2]  # B, Q
  number = jnp.arange(rows)[:, None] * each + batch["segments"] - 1
  used = batch["segments"] > 0
  # one_hot gives zeros for -1, so padding belongs to no sample.
  return jax.nn.one_hot(jnp.where(used, number, -1), rows * each)


class Collector:
  """Computes `Statistics` of a batch; compiles once for a shape."""

  def __init__(self, model: configs.Model, tasks: int):
    self._network = thinker.Thinker(model)
    self._tasks = tasks

  # Static are the collector, which hashes by identity, and `by_sample`.
  @functools.partial(jax.jit, static_argnums=(0, 3))
  def _sums(self, params, batch, by_sample):
    member = sample_groups(batch) if by_sample else groups(batch, self._tasks)
    context = token_context.TokenContext(groups=member)
    _, variables = self._network.apply(
      {"params": params}, batch, context, mutable=["router"]
    )
    return variables["router"], member.sum((0, 1))

  def __call__(self, params: at.Tree, batch: at.Batch) -> Statistics:
    """Statistics of one batch, with all parameters of the model."""
    return self._statistics(params, batch, by_sample=False)

  def by_sample(self, params: at.Tree, batch: at.Batch) -> Statistics:
    """Statistics whose groups are the batch's samples, `sample_groups`."""
    return self._statistics(params, batch, by_sample=True)

  def _statistics(self, params, batch, by_sample: bool) -> Statistics:
    sums, tokens = self._sums(params, batch, by_sample)
    flat = flax.traverse_util.flatten_dict(sums, sep="/")
    return Statistics(
      {
        name.removesuffix("/sums"): on_host(leaf) for name, leaf in flat.items()
      },
      on_host(tokens),
    )


def on_host(leaf: jax.Array) -> np.ndarray:
  """An array on this host, float64, however it is sharded."""
  if not leaf.is_fully_addressable:  # of several hosts: all must call this
    # Of an array that is split over hosts jax gathers only with `tiled`.
    leaf = multihost_utils.process_allgather(leaf, tiled=True)
  return np.asarray(leaf, np.float64)

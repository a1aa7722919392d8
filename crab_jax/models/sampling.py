"""From logits to the next token: greedy, or drawn.

The order is that of transformers: repetition penalty, temperature, the k most
probable, the smallest set of probability p.
"""

import dataclasses

import jax
import jax.numpy as jnp

from crab_jax import array_types as at

# The smallest normal float32: below it devices compute with zero.
COLDEST = float(jnp.finfo(jnp.float32).tiny)
_BLOCK = 1024  # rows of `largest_in_columns`


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How answers are decoded. The defaults are greedy."""

  max_new_tokens: int = 128  # >= 1
  temperature: float = 0.0  # 0: greedy
  top_k: int = 0  # draw among the k most probable; 0: among all
  top_p: float = 1.0  # and among the fewest whose sum reaches p; in (0, 1]
  repetition_penalty: float = 1.0  # > 1: tokens already in the row lose
  stop_tokens: tuple[int, ...] = (151645,)  # any of them ends a row

  def __post_init__(self):
    for name, good in (
      ("max_new_tokens", self.max_new_tokens >= 1),
      ("temperature", self.temperature >= 0),
      ("top_k", self.top_k >= 0),
      ("top_p", 0 < self.top_p <= 1),
      ("repetition_penalty", self.repetition_penalty > 0),
    ):
      if not good:
        raise ValueError(f"Sampling.{name}={getattr(self, name)} out of range")


def penalise(
  logits: at.Float[at.Array, "B V"],
  seen: at.Bool[at.Array, "B V"],
  penalty: float | at.Float[at.Array, "B 1"],
) -> at.Float[at.Array, "B V"]:
  """Divides positive and multiplies negative logits of the tokens `seen`."""
  lower = jnp.where(logits > 0, logits / penalty, logits * penalty)
  return jnp.where(seen, lower, logits)


def keep_top_k(
  logits: at.Float[at.Array, "B V"], k: int
) -> at.Float[at.Array, "B V"]:
  """-inf everywhere but at the k largest (and their equals)."""
  least = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]
  return jnp.where(logits >= least, logits, -jnp.inf)


def keep_top_p(
  logits: at.Float[at.Array, "B V"], p: float | at.Float[at.Array, "B 1"]
) -> at.Float[at.Array, "B V"]:
  """-inf outside the fewest most probable tokens whose sum reaches p."""
  # Ascending and by a stable sort: of equal logits at the edge the last stay,
  # as many as it takes.
  order = jnp.argsort(logits, axis=-1)
  ordered = jnp.take_along_axis(logits, order, axis=-1)
  up_to = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1)
  kept = (up_to > 1 - p).at[:, -1].set(True)
  kept = jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1)
  return jnp.where(kept, logits, -jnp.inf)


def largest(logits: at.Float[at.Array, "B V"]) -> at.Int[at.Array, "B"]:
  """The first place of the largest logit, as `jnp.argmax`.

  Two reductions, each of one array, are ten times as fast on CPU as that of
  pairs of a value and its place.
  """
  top = jnp.max(logits, axis=-1, keepdims=True)
  place = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
  last = logits.shape[-1] - 1  # where a NaN leaves no largest
  return jnp.min(jnp.where(logits == top, place, last), axis=-1)


def largest_in_columns(
  logits: at.Float[at.Array, "V B"],
) -> at.Int[at.Array, "B"]:
  """`largest` of each column.

  The largest of blocks of rows come first, and places are compared only in the
  block that has it: on CPU four times as fast for 16 columns as to compare all.
  """
  count, columns = logits.shape
  size = next(n for n in range(_BLOCK, 0, -1) if count % n == 0)
  blocks = logits.reshape(-1, size, columns)
  tops = jnp.max(blocks, axis=1)
  top = jnp.max(tops, axis=0, keepdims=True)
  block = _first(tops == top)
  own = jnp.take_along_axis(blocks, block[None, None], axis=0)[0]
  return block * size + _first(own == top)


def _first(hits: at.Bool[at.Array, "V B"]) -> at.Int[at.Array, "B"]:
  """The first row that is True in each column; the last where none is."""
  last = hits.shape[0] - 1  # where a NaN leaves no largest
  place = jax.lax.broadcasted_iota(jnp.int32, hits.shape, 0)
  return jnp.min(jnp.where(hits, place, last), axis=0)


def next_token(
  logits: at.Float[at.Array, "B V"],
  seen: at.Bool[at.Array, "B V"] | None,
  key: at.PRNGKey,
  sampling: Sampling,
) -> at.Int[at.Array, "B"]:
  """The next token of every row; `seen` is only read if there is a penalty."""
  if sampling.repetition_penalty != 1:
    assert seen is not None  # `generate.start` made it
    logits = penalise(logits, seen, sampling.repetition_penalty)
  if sampling.temperature < COLDEST:
    return largest(logits)
  # The largest becomes 0, or a small temperature would make it infinite.
  logits = logits - jnp.max(logits, axis=-1, keepdims=True)
  logits = logits / sampling.temperature
  if sampling.top_k:
    logits = keep_top_k(logits, sampling.top_k)
  if sampling.top_p < 1:
    logits = keep_top_p(logits, sampling.top_p)
  return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)

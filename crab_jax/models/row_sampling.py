"""The next token of rows of which each is decoded in its own way.

As `sampling.next_token`, with arrays in place of settings: one compiled
program serves all requests of a server. A row's draw depends on its own seed
and on how many tokens it has, so neither on its neighbours nor on when it
came. Where no row draws, or none has a penalty, that work is not done.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from crab_jax import array_types as at
from crab_jax.models import sampling


@struct.dataclass
class Choice:
  """How the tokens of each row are picked; see `sampling.Sampling`."""

  # jax rebuilds the class with shapes, so no field has a checked type.
  temperature: Any  # float32[B]
  top_k: Any  # int32[B]
  top_p: Any  # float32[B]
  penalty: Any  # float32[B]
  seed: Any  # uint32[B]


def greedy(rows: int) -> Choice:
  """The choice of rows that take the largest logit."""
  return Choice(
    temperature=jnp.zeros(rows, jnp.float32),
    top_k=jnp.zeros(rows, jnp.int32),
    top_p=jnp.ones(rows, jnp.float32),
    penalty=jnp.ones(rows, jnp.float32),
    seed=jnp.zeros(rows, jnp.uint32),
  )


def next_tokens(
  logits: at.Float[at.Array, "B V"],
  seen: at.Bool[at.Array, "B V"],
  made: at.Int[at.Array, "B"],
  choice: Choice,
) -> at.Int[at.Array, "B"]:
  """The next token of every row.

  Args:
    logits: float32.
    seen: tokens of the row so far, for the penalty.
    made: new tokens that the row has.
    choice: how.
  """
  draws = choice.temperature >= sampling.COLDEST
  plain = ~jnp.any(draws) & ~jnp.any(choice.penalty != 1)
  # A column a row, as `few_rows` makes logits of several rows on a CPU: both turns
  # cancel out there, and nothing is written anew.
  columns = logits.T
  return jax.lax.cond(
    plain,
    lambda: sampling.largest_in_columns(columns),
    lambda: _picked(columns.T, seen, made, choice, draws),
  )


def _picked(logits, seen, made, choice, draws):
  """The next tokens where a row draws, or has a penalty."""
  logits = jax.lax.cond(
    jnp.any(choice.penalty != 1),
    lambda: sampling.penalise(logits, seen, choice.penalty[:, None]),
    lambda: logits,
  )
  top = sampling.largest(logits)
  return jax.lax.cond(
    jnp.any(draws),
    lambda: jnp.where(draws, _drawn(logits, made, choice), top),
    lambda: top,
  )


def _drawn(logits, made, choice):
  """A token of each row, drawn; that of a cold row has no meaning."""
  cold = choice.temperature < sampling.COLDEST
  temperature = jnp.where(cold, 1, choice.temperature)
  # The largest becomes 0, or a small temperature would make it infinite.
  logits = logits - jnp.max(logits, axis=-1, keepdims=True)
  logits = _keep_top_k(logits / temperature[:, None], choice.top_k)
  # A sum of 1 is rounded, and might leave the last tokens out.
  p = jnp.where(choice.top_p >= 1, 2, choice.top_p)
  logits = sampling.keep_top_p(logits, p[:, None])

  def draw(seed, made, logits):
    key = jax.random.fold_in(jax.random.key(seed), made)
    return jax.random.categorical(key, logits)

  return jax.vmap(draw)(choice.seed, made, logits).astype(jnp.int32)


def _keep_top_k(logits, k):
  """`sampling.keep_top_k` with a k of each row; 0 keeps all."""
  size = logits.shape[-1]
  k = jnp.where(k == 0, size, jnp.minimum(k, size))
  ordered = jnp.sort(logits, axis=-1)
  least = jnp.take_along_axis(ordered, (size - k)[:, None], axis=-1)
  return jnp.where(logits >= least, logits, -jnp.inf)

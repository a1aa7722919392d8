"""Rows that are decoded each in its own way: as if each were alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from crab_jax.models import row_sampling
from crab_jax.models import sampling

LOGITS = np.random.default_rng(0).normal(0, 3, (6, 40)).astype(np.float32)
SEEN = np.random.default_rng(1).random((6, 40)) < 0.3
MADE = np.arange(6, dtype=np.int32)
WAYS = (
  sampling.Sampling(),
  sampling.Sampling(temperature=2.0),
  sampling.Sampling(temperature=3.0, top_k=3),
  sampling.Sampling(temperature=3.0, top_p=0.4),
  sampling.Sampling(temperature=3.0, top_k=9, top_p=0.7),
  sampling.Sampling(temperature=1.5, repetition_penalty=1.7),
)


def _choice(ways):
  return row_sampling.Choice(
    temperature=jnp.array([w.temperature for w in ways], jnp.float32),
    top_k=jnp.array([w.top_k for w in ways], jnp.int32),
    top_p=jnp.array([w.top_p for w in ways], jnp.float32),
    penalty=jnp.array([w.repetition_penalty for w in ways], jnp.float32),
    seed=jnp.arange(len(ways), dtype=jnp.uint32) + 7,
  )


_NEXT = jax.jit(row_sampling.next_tokens)


def test_each_row_draws_as_with_settings_of_its_own():
  choice = _choice(WAYS)
  for made in range(20):
    found = _NEXT(LOGITS, SEEN, MADE + made, choice)
    for row, way in enumerate(WAYS):
      here = slice(row, row + 1)
      key = jax.random.fold_in(jax.random.key(row + 7), MADE[row] + made)
      wanted = _alone(LOGITS[here], SEEN[here], key, way)
      assert found[row] == wanted, (row, made)


@functools.partial(jax.jit, static_argnames="way")
def _alone(logits, seen, key, way):
  """What a batch of this row draws."""
  if way.temperature:
    return jax.random.categorical(key, _kept(logits, seen, way)[0])
  return sampling.next_token(logits, seen, key, way)[0]


def _kept(logits, seen, way):
  """What `sampling.next_token` draws from."""
  logits = sampling.penalise(logits, seen, way.repetition_penalty)
  logits = (logits - logits.max()) / way.temperature
  if way.top_k:
    logits = sampling.keep_top_k(logits, way.top_k)
  if way.top_p < 1:
    logits = sampling.keep_top_p(logits, way.top_p)
  return logits


def test_a_draw_does_not_depend_on_neighbours():
  choice = _choice(WAYS)
  whole = _NEXT(LOGITS, SEEN, MADE, choice)
  order = np.array([3, 5, 0, 4, 1, 2])
  moved = jax.tree.map(lambda x: x[order], choice)
  found = _NEXT(LOGITS[order], SEEN[order], MADE[order], moved)
  np.testing.assert_array_equal(found, whole[order])


def test_greedy_rows_take_the_largest():
  found = _NEXT(LOGITS, SEEN, MADE, row_sampling.greedy(6))
  np.testing.assert_array_equal(found, LOGITS.argmax(-1))


def test_a_penalty_alone_is_greedy_among_what_is_left():
  choice = dataclasses.replace(row_sampling.greedy(6), penalty=jnp.full(6, 1.7))
  found = _NEXT(LOGITS, SEEN, MADE, choice)
  wanted = sampling.penalise(LOGITS, SEEN, 1.7).argmax(-1)
  np.testing.assert_array_equal(found, wanted)

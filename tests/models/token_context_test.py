"""The context of tokens: a pytree that costs a scanned layer nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from crab_jax.models import scanning
from crab_jax.models import token_context


class _Layer(nn.Module):
  """Adds the groups where there are some, and one where dropout draws."""

  @nn.compact
  def __call__(self, x, context):
    if context.groups is not None:
      x = x + context.groups
    return (x if context.deterministic else x + 1), None


def _run(context, remat):
  stack = scanning.stack(_Layer, remat, 3, (nn.broadcast,))
  return stack(name="layers").apply({}, jnp.zeros((2, 4)), context)[0]


def test_what_nobody_needs_is_no_leaf():
  assert jax.tree.leaves(token_context.EMPTY) == []
  context = token_context.TokenContext(groups=jnp.ones((2, 4)))
  assert len(jax.tree.leaves(context)) == 1


def test_dropout_is_part_of_the_program():
  drops = token_context.TokenContext(deterministic=False)
  one, two = map(jax.tree.structure, (token_context.EMPTY, drops))
  assert one != two


@pytest.mark.parametrize("remat", ["none", "full"])
def test_every_layer_of_a_stack_gets_it_whole(remat):
  context = token_context.TokenContext(groups=jnp.full((2, 4), 2.0))
  assert (jax.jit(lambda c: _run(c, remat))(context) == 6).all()
  drops = dataclasses.replace(context, deterministic=False)
  assert (_run(drops, remat) == 9).all()

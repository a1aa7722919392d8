"""The model's loss as the step wants it: a function of params, batch, key."""

from typing import cast

from crab_jax import configs
from crab_jax.models import token_context
from crab_jax.paradigms import thinker
from crab_jax.training import step


def likelihood(model: configs.Model, dropout: bool = True) -> step.Likelihood:
  """Negative log-likelihoods float32[B, K] of the supervised positions.

  Dropout draws when the model has some, unless it is not wanted; the key is
  unused otherwise.
  """
  network = thinker.Thinker(model)
  drops = dropout and model.drops
  context = token_context.TokenContext(deterministic=not drops)

  def nll(params, batch, key):
    found = network.apply(
      {"params": params},
      batch,
      context,
      rngs={"dropout": key} if drops else None,
      method="loss",
    )
    # Flax cannot know what the method returns.
    return cast(thinker.Loss, found).nll

  return nll

"""The optimizer: AdamW, clipped, with linear warm-up and a cosine."""

import functools
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from crab_jax import configs


def warmup_steps(config: configs.Optimizer, steps: int) -> int:
  """Steps of linear warm-up: ceil(warmup * steps)."""
  return math.ceil(config.warmup * steps)


def schedule(config: configs.Optimizer, steps: int) -> optax.Schedule:
  """Learning rate of update t: 0 at t = 0, `peak` after warm-up, then cosine.

  The first update uses t = 1, as an update at rate zero would be lost.

  Args:
    config: peak, final and warmup.
    steps: updates of the whole stage.
  """
  return functools.partial(
    _rate, config=config, steps=steps, warmup=warmup_steps(config, steps)
  )


def _rate(count, *, config: configs.Optimizer, steps, warmup):
  """The learning rate after `count` updates; every number may be traced."""
  t = jnp.asarray(count, jnp.float32) + 1
  rising = t / jnp.maximum(warmup, 1)
  progress = jnp.clip((t - warmup) / jnp.maximum(steps - warmup, 1), 0, 1)
  falling = config.final + (1 - config.final) * 0.5 * (
    1 + jnp.cos(jnp.pi * progress)
  )
  return config.peak * jnp.where(t < warmup, rising, falling)


class Schedule(NamedTuple):
  """Where an optimizer is in its schedule, and how long that is."""

  count: Any  # int32[], updates done
  steps: Any  # int32[], updates of the whole stage
  warmup: Any  # int32[], of them warm-up


def _by_schedule(
  config: configs.Optimizer, steps: int
) -> optax.GradientTransformation:
  """Multiplies by minus the learning rate.

  The length of the schedule lies in the state: one compiled step then serves
  stages of any length.
  """

  def init(params):
    del params
    numbers = (0, steps, warmup_steps(config, steps))
    return Schedule(*(jnp.asarray(n, jnp.int32) for n in numbers))

  def update(updates, state, params=None):
    del params
    rate = _rate(
      state.count, config=config, steps=state.steps, warmup=state.warmup
    )
    updates = jax.tree.map(
      lambda leaf: -rate.astype(leaf.dtype) * leaf, updates
    )
    return updates, state._replace(count=state.count + 1)

  return optax.GradientTransformation(init, update)


def _decays(params):
  """Weight decay is for matrices and tables: not for norms or biases."""

  def matrix(path, _):
    *_, parent, name = (key.key for key in path)
    table = parent == "embed_tokens" and name == "weight"
    return table or name == "kernel" or name.startswith("lora_")

  return jax.tree_util.tree_map_with_path(matrix, params)


def optimizer(
  config: configs.Optimizer, steps: int
) -> optax.GradientTransformation:
  """AdamW with global-norm clipping; moments take the dtype of the master."""
  parts = [
    optax.clip_by_global_norm(config.clip),
    optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
  ]
  if config.weight_decay:
    parts.append(optax.add_decayed_weights(config.weight_decay, _decays))
  return optax.chain(*parts, _by_schedule(config, steps))

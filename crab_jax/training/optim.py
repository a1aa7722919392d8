"""The optimizer: AdamW, clipped, with linear warm-up and a cosine."""

import math

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
  warmup = warmup_steps(config, steps)

  def rate(count):
    t = jnp.asarray(count, jnp.float32) + 1
    rising = t / max(warmup, 1)
    progress = jnp.clip((t - warmup) / max(steps - warmup, 1), 0, 1)
    falling = config.final + (1 - config.final) * 0.5 * (
      1 + jnp.cos(jnp.pi * progress)
    )
    return config.peak * jnp.where(t < warmup, rising, falling)

  return rate


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
  return optax.chain(
    optax.clip_by_global_norm(config.clip),
    optax.adamw(
      schedule(config, steps),
      b1=config.b1,
      b2=config.b2,
      eps=config.eps,
      weight_decay=config.weight_decay,
      mask=_decays if config.weight_decay else None,
    ),
  )

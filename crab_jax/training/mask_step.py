"""One step of training a mask model: its loss, its update.

The loss is focal loss and Dice of every mask that the decoder makes, and the
squared error of the overlaps that it predicts. All four masks learn the
same: of a box and points in a sounding object there is one reading, where the
paper trains the alternatives by the best of three.

Reference: section D.2 of SAM 2 (arXiv 2408.00714).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from crab_jax import array_types
from crab_jax import configs
from crab_jax.models.sam2 import network

# Weights of focal loss (as in the paper) and Dice (there 1). With plain cross
# entropy (10) and Dice (1) two seeds of three filled the box for all 800 steps (mean
# J 0.6): the pixels that the box alone decides outweigh those inside it. The focal
# loss leaves them out, and Dice, which a filled box serves well, counts little: 0.88
# with all three seeds.
_FOCAL, _DICE = 20.0, 0.1
_FOCUS = 2.0  # exponent of the focal loss, that of the paper
# Not trained: the frequencies are random and stay so.
_FIXED = "pe_gaussian"


@dataclasses.dataclass(frozen=True)
class Step:
  """The programs of training.

  Attributes:
    init: seed -> (parameters, optimizer state).
    update: (parameters, optimizer state, images, prompt, truth) -> the first
      two after a step, and the loss.
  """

  init: Callable
  update: Callable


def build(
  config: configs.Sam2, optimizer: optax.GradientTransformation
) -> Step:
  """Compiles nothing yet.

  Args:
    config: the shapes.
    optimizer: of all but the frequencies of positions. It sees one vector.
  """
  # One update of one vector, not 212 small ones that XLA takes 9 s to compile.
  optimizer = optax.flatten(optimizer)

  def init(seed):
    params = network.draw(config, seed)
    return params, jax.jit(optimizer.init)(_trained(params))

  def update(params, state, images, prompt, truth):
    trained = _trained(params)

    def loss_of(trained):
      whole = {**params, **trained}
      encoded = network.encode(config, whole, images)
      return loss(network.decode(config, whole, encoded, prompt), truth)

    value, grads = jax.value_and_grad(loss_of)(trained)
    changes, state = optimizer.update(grads, state, trained)
    return {**params, **optax.apply_updates(trained, changes)}, state, value

  return Step(init, jax.jit(update, donate_argnums=(0, 1)))


def _trained(params: array_types.Tree) -> array_types.Tree:
  return {name: part for name, part in params.items() if name != _FIXED}


def loss(decoded: network.Decoded, truth: jax.Array) -> jax.Array:
  """The loss of a batch.

  Args:
    decoded: of the network.
    truth: float32[B, S, S] in [0, 1], the share of each pixel that is inside;
      S is at least the side of the logits.
  """
  side = truth.shape[-1]
  shape = (*decoded.masks.shape[:2], side, side)
  logits = jax.image.resize(decoded.masks, shape, "linear", antialias=False)
  target = jnp.broadcast_to(truth[:, None], shape)
  focal = optax.sigmoid_focal_loss(logits, target, gamma=_FOCUS)
  said = jax.nn.sigmoid(logits)
  both = (said * target).sum((-1, -2))
  sums = said.sum((-1, -2)) + target.sum((-1, -2))
  dice = 1 - (2 * both + 1) / (sums + 1)
  overlap = jax.lax.stop_gradient(_overlap(logits, target))
  error = (decoded.overlaps - overlap) ** 2
  return jnp.mean(_FOCAL * focal.mean((-1, -2)) + _DICE * dice + error)


def _overlap(logits: jax.Array, target: jax.Array) -> jax.Array:
  """float32[B, 4]: intersection over union at a threshold of one half."""
  said, true = logits > 0, target > 0.5
  union = jnp.sum(said | true, (-1, -2))
  return jnp.sum(said & true, (-1, -2)) / jnp.maximum(union, 1)

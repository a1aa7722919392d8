"""The vocabulary projection and its cross-entropy, in chunks.

Only supervised positions come here. The float32 logits of one chunk exist at
a time; the backward pass makes them again.
"""

import functools

import jax
import jax.numpy as jnp

from crab_jax import array_types as at
from crab_jax.models import axes
from crab_jax.models import few_rows
from crab_jax.models import quantised


def project(
  hidden: at.Float[at.Array, "B K D"], kernel: at.Float[at.Array, "D V"]
) -> at.Float[at.Array, "B K V"]:
  """Float32 logits."""
  logits = jnp.einsum(
    "BKD,DV->BKV",
    hidden,
    kernel.astype(hidden.dtype),
    preferred_element_type=jnp.float32,
  )
  return axes.constrain(logits, "batch", "supervised", "act_vocab")


def decode(
  hidden: at.Float[at.Array, "B D"], head: at.Tree
) -> at.Float[at.Array, "B V"]:
  """Float32 logits of few rows.

  Args:
    hidden: one state a row.
    head: `kernel`, or what `few_rows.turn` has made of it; with a scale where it
      is int8.
  """
  is_turned = few_rows.TURNED in head
  kernel = head[few_rows.TURNED if is_turned else "kernel"]
  if kernel.dtype.itemsize > hidden.dtype.itemsize:
    kernel = kernel.astype(hidden.dtype)
  logits = few_rows.project(
    hidden, kernel, is_turned=is_turned, dtype=jnp.float32
  )
  if quantised.SCALE in head:
    logits = quantised.scaled(logits, head[quantised.SCALE])
  return axes.constrain(logits, "batch", "act_vocab")


def negative_log_likelihood(
  hidden: at.Float[at.Array, "B K D"],
  labels: at.Int[at.Array, "B K"],
  kernel: at.Float[at.Array, "D V"],
) -> at.Float[at.Array, "B K"]:
  """-log softmax(hidden kernel)[label] in float32."""
  logits = project(hidden, kernel)
  # The label's logit is taken by comparison. A gather would scatter in the
  # backward pass and bring a sharded vocabulary together.
  index = jax.lax.broadcasted_iota(labels.dtype, logits.shape, 2)
  hit = index == labels[:, :, None]
  chosen = jnp.sum(jnp.where(hit, logits, 0), axis=-1)
  return jax.nn.logsumexp(logits, axis=-1) - chosen


def chunks(rows: int, positions: int, chunk: int) -> int:
  """The smallest divisor of `positions` that makes chunks of <= `chunk`.

  A chunk is the same share of every row, so that rows stay where they are on
  the mesh.
  """
  return next(
    n
    for n in range(1, positions + 1)
    if positions % n == 0 and (rows * positions <= n * chunk or n == positions)
  )


def chunked_nll(
  hidden: at.Float[at.Array, "B K D"],
  labels: at.Int[at.Array, "B K"],
  kernel: at.Float[at.Array, "D V"],
  chunk: int,
) -> at.Float[at.Array, "B K"]:
  """`negative_log_likelihood`, at most about `chunk` positions at a time."""
  # Gathered once for all chunks, not once a chunk.
  kernel = axes.in_use(kernel.astype(hidden.dtype), "embed", "vocab")
  rows, positions, width = hidden.shape
  count = chunks(rows, positions, chunk)
  if count == 1:
    return negative_log_likelihood(hidden, labels, kernel)

  # Else the scan would keep every chunk's logits for the backward pass.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def one(_, part):
    own_hidden, own_labels = part
    return None, negative_log_likelihood(own_hidden, own_labels, kernel)

  # [B, K, D] -> [chunks, B, K / chunks, D]
  hidden = hidden.reshape(rows, count, -1, width).swapaxes(0, 1)
  labels = labels.reshape(rows, count, -1).swapaxes(0, 1)
  _, nll = jax.lax.scan(one, None, (hidden, labels))
  # [chunks, B, K / chunks] -> [B, K]
  return nll.swapaxes(0, 1).reshape(rows, positions)

"""One update: loss, gradients of the trainable leaves, optimizer.

Pure functions of arrays. The loss is normalised by the number of supervised
tokens of the whole global batch, so the same rows give the same update on any
number of devices and micro-batches.

Reference: the thinker's loss, next-token cross-entropy over the answers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from crab_jax import array_types
from crab_jax.models import ilora
from crab_jax.training import state as state_lib

# (params, batch, dropout key) -> negative log-likelihoods float32[B, K]
Likelihood = Callable[
  [array_types.Tree, array_types.Batch, jax.Array], jax.Array
]
Metrics = dict[str, jax.Array]


def by_task(nll: jax.Array, batch: array_types.Batch, tasks: int) -> Metrics:
  """Sums over supervised positions, in all and by dataset.

  Args:
    nll: float32[B, K], negative log-likelihood of each label, nats.
    batch: see `crab_jax.batch`.
    tasks: number of datasets.

  Returns:
    nll float32[], tokens float32[], task_nll and task_tokens float32[tasks].
  """
  weights = batch["weights"]
  number = jnp.take_along_axis(batch["tasks"], batch["supervised"], axis=1)
  # [B, K, tasks]; unused positions weigh 0, and -1, of padding, has no column.
  one_hot = jax.nn.one_hot(number, tasks) * weights[..., None]
  return {
    "nll": jnp.sum(nll * weights),
    "tokens": jnp.sum(weights),
    "task_nll": jnp.einsum("bk,bkt->t", nll, one_hot),
    "task_tokens": jnp.einsum("bkt->t", one_hot),
  }


def _split_rows(batch: array_types.Batch, parts: int) -> array_types.Batch:
  """[B, ...] -> [parts, B / parts, ...]; part i has rows i, i + parts, ..."""
  # Every part takes its share of every device's rows: nothing moves.
  return jax.tree.map(
    lambda leaf: leaf.reshape(
      leaf.shape[0] // parts, parts, *leaf.shape[1:]
    ).swapaxes(0, 1),
    batch,
  )


def _gradients(params, frozen, batch, key, likelihood: Likelihood, tasks: int):
  """Gradient of the summed (not averaged) loss, and the sums."""

  def total(trained):
    nll = likelihood(state_lib.merge(trained, frozen), batch, key)
    sums = by_task(nll, batch, tasks)
    # The sum and not the mean: gradients of parts then add up to that of all.
    return sums["nll"], sums

  (_, sums), gradients = jax.value_and_grad(total, has_aux=True)(params)
  return gradients, sums


def _accumulated(params, frozen, batch, key, likelihood, tasks, parts: int):
  """The same sums, over `parts` micro-batches one after the other."""

  def body(carry, part):
    index, micro = part
    # Micro-batches hold other rows: each draws its own dropout.
    new = _gradients(
      params, frozen, micro, jax.random.fold_in(key, index), likelihood, tasks
    )
    return jax.tree.map(jnp.add, carry, new), None

  micro_batches = (jnp.arange(parts), _split_rows(batch, parts))
  first = jax.tree.map(lambda leaf: leaf[0], micro_batches[1])
  # A scan's carry must begin with the dtypes that it will have.
  shapes = jax.eval_shape(
    lambda p, b: _gradients(p, frozen, b, key, likelihood, tasks), params, first
  )
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  # A scan, so that one micro-batch's activations are alive at a time.
  return jax.lax.scan(body, zeros, micro_batches)[0]


def eval_step(
  params: array_types.Tree,
  frozen: array_types.Tree,
  batch: array_types.Batch,
  *,
  likelihood: Likelihood,
  tasks: int,
  axis: str | None = None,
) -> Metrics:
  """The sums of `by_task` without an update, over the global batch.

  Args:
    params: the trainable leaves.
    frozen: the others.
    batch: rows of this device (under pmap) or of all (under a mesh).
    likelihood: without dropout.
    tasks: number of datasets.
    axis: the pmapped axis to sum over, if there is one.
  """
  # Without dropout the key is not used.
  nll = likelihood(state_lib.merge(params, frozen), batch, jax.random.key(0))
  sums = by_task(nll, batch, tasks)
  return sums if axis is None else jax.lax.psum(sums, axis)


def adapter_norms(gradients: array_types.Tree) -> Metrics:
  """Norms of the gradients of all A, of all B, of all routers, and so on.

  Returns:
    "gradient_norm/lora_A" and so on -> float32[]; of the leaves there are.
  """
  parts: dict[str, list[jax.Array]] = {}
  for path, leaf in ilora.leaves(gradients).items():
    parts.setdefault(path.rpartition("/")[2], []).append(leaf)
  return {
    f"gradient_norm/{name}": optax.global_norm(parts[name])
    for name in sorted(parts)
  }


def train_step(
  state: state_lib.State,
  frozen: array_types.Tree,
  batch: array_types.Batch,
  key: jax.Array,
  *,
  likelihood: Likelihood,
  optimizer: optax.GradientTransformation,
  tasks: int,
  accumulate: int = 1,
  axis: str | None = None,
) -> tuple[state_lib.State, Metrics]:
  """One update of the trainable leaves.

  Args:
    state: what trains.
    frozen: what does not.
    batch: rows of this device (under pmap) or of all (under a mesh).
    key: dropout key of the run; the step's is folded in here.
    likelihood: the model's negative log-likelihoods.
    optimizer: see `optim.optimizer`.
    tasks: number of datasets.
    accumulate: micro-batches.
    axis: the pmapped axis to sum over, if there is one.

  Returns:
    The next state, and sums of the global batch: those of `by_task`, the loss
    (nats a supervised token), the gradient's norm and `adapter_norms`.
  """
  # From the step's number, so that a resumed run draws the same dropout.
  key = jax.random.fold_in(key, state.step)
  if axis is not None:
    # Devices hold other rows of the batch: each draws its own.
    key = jax.random.fold_in(key, jax.lax.axis_index(axis))
  gradients, sums = (
    _accumulated(
      state.params, frozen, batch, key, likelihood, tasks, accumulate
    )
    if accumulate > 1
    else _gradients(state.params, frozen, batch, key, likelihood, tasks)
  )
  if axis is not None:
    gradients, sums = jax.lax.psum((gradients, sums), axis)
  # Sums first, then one division: rows with few supervised tokens weigh little,
  # on however many devices and micro-batches they lie.
  count = jnp.maximum(sums["tokens"], 1)
  gradients = jax.tree.map(lambda leaf: leaf / count, gradients)
  updates, opt_state = optimizer.update(
    gradients, state.opt_state, state.params
  )
  new = state_lib.State(
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    opt_state=opt_state,
  )
  return new, {
    **sums,
    "loss": sums["nll"] / count,
    "gradient_norm": optax.global_norm(gradients),
    **adapter_norms(gradients),
  }

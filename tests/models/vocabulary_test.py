"""The loss in chunks equals the loss at once."""

import jax
import jax.numpy as jnp
import numpy as np

from crab_jax.models import few_rows
from crab_jax.models import quantised
from crab_jax.models import vocabulary


def _inputs():
  keys = jax.random.split(jax.random.key(0), 3)
  hidden = jax.random.normal(keys[0], (2, 12, 6))
  kernel = jax.random.normal(keys[1], (6, 11))
  labels = jax.random.randint(keys[2], (2, 12), 0, 11)
  return hidden, labels, kernel


def test_log_likelihood():
  hidden, labels, kernel = _inputs()
  logits = np.asarray(hidden @ kernel, np.float64)
  log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = -np.take_along_axis(log, np.asarray(labels)[..., None], -1)[..., 0]
  found = vocabulary.chunked_nll(hidden, labels, kernel, 1000)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_chunks_change_nothing():
  hidden, labels, kernel = _inputs()

  def loss(chunk):
    def total(hidden, kernel):
      nll = vocabulary.chunked_nll(hidden, labels, kernel, chunk)
      return jnp.sum(nll**2), nll

    grad = jax.grad(total, argnums=(0, 1), has_aux=True)
    return jax.jit(grad)(hidden, kernel)

  whole = loss(24)
  for chunk in (8, 1):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
      loss(chunk),
      whole,
    )


def test_number_of_chunks():
  assert vocabulary.chunks(4, 128, 1024) == 1
  assert vocabulary.chunks(16, 512, 1024) == 8
  assert vocabulary.chunks(2, 12, 8) == 3
  assert vocabulary.chunks(2, 7, 8) == 7  # 7 positions are 7 chunks or 1
  assert vocabulary.chunks(64, 4, 8) == 4  # never less than one a row


def test_no_logits_of_all_positions_are_kept():
  hidden, labels, kernel = _inputs()
  run = jax.grad(
    lambda h: jnp.sum(vocabulary.chunked_nll(h, labels, kernel, 4))
  )
  assert "12,11]" not in str(jax.make_jaxpr(run)(hidden))
  assert "2,11]" in str(jax.make_jaxpr(run)(hidden))


def test_logits_of_a_step_of_decoding():
  hidden, _, kernel = _inputs()
  wanted = vocabulary.project(hidden, kernel)[:, -1]
  integers, scale = quantised.quantise(kernel)
  narrow = {"kernel": integers, quantised.SCALE: scale}
  for head, limit in (({"kernel": kernel}, 1e-5), (narrow, 0.05)):
    for made in (head, few_rows.turn(head)):
      found = vocabulary.decode(hidden[:, -1], made)
      assert found.dtype == jnp.float32
      np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)

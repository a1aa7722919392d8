"""The step: global normalisation, micro-batches, devices, frozen leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib

_TASKS = 3


def _batch(rows=16, positions=8, supervised=4):
  rng = np.random.default_rng(0)
  return {
    "tokens": rng.integers(0, 7, (rows, positions)),
    "tasks": rng.integers(0, _TASKS, (rows, positions)),
    "supervised": rng.integers(0, positions, (rows, supervised)),
    "labels": rng.integers(0, 5, (rows, supervised)),
    # Rows differ in how much of them counts, as packed rows do.
    "weights": (rng.random((rows, supervised)) < 0.6).astype(np.float32),
  }


def _likelihood(params, batch, key):
  """A linear classifier of each supervised position's token."""
  del key
  token = jnp.take_along_axis(batch["tokens"], batch["supervised"], axis=1)
  logits = jax.nn.one_hot(token, 7) @ params["base"]["kernel"]
  logits += jax.nn.one_hot(token, 7) @ params["base"]["lora_A"]
  log_p = jax.nn.log_softmax(logits)
  return -jnp.take_along_axis(log_p, batch["labels"][..., None], axis=-1)[
    ..., 0
  ]


def _setup(trains="adapter"):
  rng = np.random.default_rng(1)
  params = {
    "base": {
      name: jnp.asarray(rng.normal(size=(7, 5)), jnp.float32)
      for name in ("kernel", "lora_A")
    }
  }
  trained, frozen = state_lib.split(params, trains)
  optimizer = optim.optimizer(configs.Optimizer(peak=0.1), 10)
  arguments = {
    "likelihood": _likelihood,
    "optimizer": optimizer,
    "tasks": _TASKS,
  }
  return state_lib.create(trained, optimizer), frozen, arguments


def _assert_close(left, right):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-7),
    left,
    right,
  )


def test_loss_is_the_mean_over_all_supervised_tokens():
  state, frozen, arguments = _setup()
  batch = _batch()
  _, sums = step_lib.train_step(
    state, frozen, batch, jax.random.key(0), **arguments
  )
  nll = _likelihood(state_lib.merge(state.params, frozen), batch, None)
  expected = (nll * batch["weights"]).sum() / batch["weights"].sum()
  np.testing.assert_allclose(sums["loss"], expected, rtol=1e-6)
  np.testing.assert_allclose(sums["task_nll"].sum(), sums["nll"], rtol=1e-5)
  assert sums["task_tokens"].sum() == batch["weights"].sum()


def test_only_trainable_leaves_move():
  state, frozen, arguments = _setup()
  new, _ = step_lib.train_step(
    state, frozen, _batch(), jax.random.key(0), **arguments
  )
  assert list(new.params["base"]) == ["lora_A"]
  assert np.any(new.params["base"]["lora_A"] != state.params["base"]["lora_A"])
  assert new.step == 1


def test_the_norms_of_the_adapters_gradients_go_by_kind_of_leaf():
  """All A: (3, 4, 12), so 13; all B: 84; the kernel is not the adapter's."""
  gradients = {
    "q": {"lora_A": jnp.array([3.0, 4.0]), "lora_B": jnp.array([84.0])},
    "k": {"lora_A": jnp.array([12.0]), "kernel": jnp.array([1.0])},
  }
  found = step_lib.adapter_norms(gradients)
  assert set(found) == {"gradient_norm/lora_A", "gradient_norm/lora_B"}
  assert found["gradient_norm/lora_A"] == pytest.approx(13)
  assert found["gradient_norm/lora_B"] == pytest.approx(84)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_give_the_same_update(parts):
  state, frozen, arguments = _setup()
  key = jax.random.key(0)
  whole = step_lib.train_step(state, frozen, _batch(), key, **arguments)
  split = step_lib.train_step(
    state, frozen, _batch(), key, accumulate=parts, **arguments
  )
  _assert_close(whole, split)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_give_the_same_update(accumulate):
  state, frozen, arguments = _setup()
  batch, key = _batch(), jax.random.key(0)
  one = step_lib.train_step(state, frozen, batch, key, **arguments)
  runner = pmapped.PmapRunner(16, accumulate, **arguments)
  many = runner.step(
    runner.shard(state), runner.shard(frozen), runner.shard_batch(batch), key
  )
  _assert_close(one, runner.fetch(many))

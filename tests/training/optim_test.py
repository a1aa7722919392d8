"""The learning-rate schedule and the set of leaves that decay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import transformers

from crab_jax import configs
from crab_jax.training import optim


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 34, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.5, 1.0])
def test_after_warmup_every_update_has_the_rate_of_transformers(steps, warmup):
  """Before it each has the next one's, whose first is zero."""
  config = configs.Optimizer(warmup=warmup)
  rising = optim.warmup_steps(config, steps)
  torch_optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.peak)
  theirs = transformers.get_cosine_schedule_with_warmup(
    torch_optimizer, rising, steps
  )
  expected = [
    config.peak * theirs.lr_lambdas[0](u + (u < rising)) for u in range(steps)
  ]
  schedule = optim.schedule(config, steps)
  found = [schedule(update) for update in range(steps)]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-11)
  assert min(found) > 0
  assert max(found) == pytest.approx(config.peak)


def test_the_rate_falls_towards_a_share_of_the_peak():
  schedule = optim.schedule(configs.Optimizer(peak=2.0, final=0.1), steps=100)
  assert 0.2 < schedule(99) < 0.201
  np.testing.assert_allclose(schedule(100), 0.2, rtol=1e-6)


def test_no_step_is_lost_to_a_rate_of_zero():
  assert optim.schedule(configs.Optimizer(), steps=1000)(0) > 0


def test_it_is_adamw_of_optax():
  config = configs.Optimizer(peak=0.1, warmup=0.4, weight_decay=0.1, clip=1e9)
  ours = optim.optimizer(config, 5)
  theirs = optax.adamw(
    optim.schedule(config, 5), eps=1e-8, weight_decay=0.1, mask=optim._decays
  )
  params = {"q_proj": {"kernel": jnp.array([[1.0, -2.0]])}}
  left, right = params, params
  states = [ours.init(params), theirs.init(params)]
  for step in range(5):
    gradients = jax.tree.map(lambda leaf, step=step: leaf * (step - 1), params)
    updates, states[0] = ours.update(gradients, states[0], left)
    left = optax.apply_updates(left, updates)
    updates, states[1] = theirs.update(gradients, states[1], right)
    right = optax.apply_updates(right, updates)
  np.testing.assert_allclose(
    left["q_proj"]["kernel"], right["q_proj"]["kernel"], rtol=1e-6
  )


def test_muon_turns_kernels_and_adamw_the_rest():
  """An update of Muon is near orthogonal: its singular values are alike."""
  config = configs.Optimizer(name="muon", peak=1.0, warmup=0.0)
  optimizer = optim.optimizer(config, 1000)
  kernel = np.random.default_rng(0).normal(size=(3, 8, 8))
  kernel[:, 0] *= 10  # so the gradient, the kernel itself, is far from it
  leaf = jnp.asarray(kernel, jnp.float32)
  params = {
    "lm_head": {"kernel": leaf[0]},
    "embed_tokens": {"weight": leaf[0]},
    "q_proj": {"kernel": leaf, "lora_A": leaf[0], "bias": leaf[0]},
  }
  updates, _ = optimizer.update(params, optimizer.init(params), params)
  turned = updates["q_proj"].pop("kernel")
  values = np.linalg.svd(turned, compute_uv=False)
  assert values.max() < 2 * np.median(values)
  alone = {"q_proj": {"kernel": leaf[1]}}
  update, _ = optimizer.update(alone, optimizer.init(alone), alone)
  np.testing.assert_allclose(
    update["q_proj"]["kernel"], turned[1], rtol=1e-3, atol=1e-5
  )
  rms = np.sqrt(np.mean(np.square(turned)))
  np.testing.assert_allclose(rms, 0.2, rtol=0.2)
  others = jax.tree.leaves(updates)
  assert len(others) == 4
  for update in others:  # the first step of Adam is the gradient's sign
    np.testing.assert_allclose(update, -np.sign(kernel[0]), rtol=1e-3)


def test_one_compiled_update_serves_schedules_of_any_length():
  config = configs.Optimizer(peak=1.0, warmup=0.2)
  params = {"kernel": jnp.ones(2)}
  update = jax.jit(optim.optimizer(config, 1).update)
  for steps in (7, 30):
    optimizer = optim.optimizer(config, steps)
    state, rates = optimizer.init(params), []
    for _ in range(steps):
      step, state = update(params, state, params)
      rates.append(-float(step["kernel"][0]))
    wanted = [float(optim.schedule(config, steps)(i)) for i in range(steps)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-4, atol=1e-5)
  assert update._cache_size() == 1


def test_weight_decay_touches_matrices_only():
  params = {
    "norm": {"weight": jnp.ones((2, 3))},  # stacked over layers
    "embed_tokens": {"weight": jnp.ones((2, 3))},
    "q_proj": {
      "kernel": jnp.ones((2, 3)),
      "bias": jnp.ones((2, 3)),
      "lora_A": jnp.ones((2, 3)),
    },
  }
  optimizer = optim.optimizer(configs.Optimizer(peak=1.0, weight_decay=0.5), 9)
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = optimizer.update(zeros, optimizer.init(params), params)
  moved = {
    f"{path[0].key}/{path[1].key}"
    for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
    if np.any(leaf)
  }
  assert moved == {"embed_tokens/weight", "q_proj/kernel", "q_proj/lora_A"}


def test_a_state_takes_the_schedule_of_other_settings():
  """What resuming with another number of steps has to do."""
  before = configs.Optimizer(peak=1.0, warmup=0.5)
  after = configs.Optimizer(peak=1.0, warmup=0.1)
  params = {"q_proj": {"kernel": jnp.ones((2, 2))}}
  optimizer = optim.optimizer(before, 10)
  _, state = optimizer.update(params, optimizer.init(params), params)
  found = optim.rescheduled(state, after, 40)
  expected = state[-1]._replace(steps=jnp.int32(40), warmup=jnp.int32(4))
  assert found[-1] == expected
  jax.tree.map(np.testing.assert_array_equal, found[:-1], state[:-1])

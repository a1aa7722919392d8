"""The adapter: the paper's equation, its special cases, its statistics."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crab_jax import configs
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import token_context
from crab_jax.routers import sums as router_sums

LORA = configs.ILora(rank=4, heads=3, alpha=8.0, dropout=0.0)
DROPS = token_context.TokenContext(deterministic=False)


def _linear(lora, name="q_proj", features=5):
  config = configs.tiny(adapter=lora)
  return layers.Linear(
    features,
    config,
    ("embed", "heads"),
    adapter=lora,
    name=name,
  )


def _params(module, x, seed=0, **fixed):
  """Fresh parameters with a B that is not zero."""
  params = nn.meta.unbox(module.init(jax.random.key(seed), x))["params"]
  if "lora_B" in params:
    key = jax.random.key(seed + 1)
    params["lora_B"] = jax.random.normal(key, params["lora_B"].shape)
  return {
    **params,
    **{k: jnp.asarray(v, jnp.float32) for k, v in fixed.items()},
  }


def _loop(params, x, scale):
  """The oracle: y = x W + b + s sum_e softmax(x R)_e (x A) B_e."""
  y = x @ params["kernel"] + params["bias"][None]
  a, b = params["lora_A"], params["lora_B"]
  heads = len(b)
  gates = jnp.full((len(x), heads), 1 / heads)
  if "lora_route" in params:
    gates = jax.nn.softmax(x @ params["lora_route"], axis=-1)
  for e in range(heads):
    code = x @ (a[e] if a.ndim == 3 else a)
    y = y + scale * gates[:, e : e + 1] * (code @ b[e])
  return y


def test_the_specification_s_vector():
  lora = configs.ILora(rank=1, heads=3, alpha=2.0, dropout=0.0)
  x = np.array([[1, 2], [-1, 0.5]], np.float32)
  params = {
    "kernel": np.eye(2, dtype=np.float32),
    "bias": np.zeros(2, np.float32),
    "lora_A": np.array([[0.5], [-1]], np.float32),
    "lora_route": np.array([[1, 0, -1], [0, 1, 1]], np.float32),
    "lora_B": np.array([[[1, 0]], [[0, 2]], [[-1, 1]]], np.float32),
  }
  y, state = _linear(lora, features=2).apply(
    {"params": params}, x, mutable=["gates"]
  )
  np.testing.assert_allclose(
    state["gates"]["gates"],
    [
      [0.21194156, 0.57611688, 0.21194156],
      [0.05661173, 0.25371618, 0.68967209],
    ],
    atol=1e-7,
  )
  expected = [[1, -2.09252598], [0.26612071, -1.8942089]]
  np.testing.assert_allclose(y, expected, atol=1e-6)


# Every new shape is compiled: few examples, of few shapes.
@settings(max_examples=6, deadline=None)
@given(
  heads=st.integers(1, 4),
  width=st.sampled_from([1, 7]),
  shared_a=st.booleans(),
  seed=st.integers(0, 9),
)
def test_fused_equals_the_loop_over_heads(heads, width, shared_a, seed):
  lora = dataclasses.replace(LORA, heads=heads, shared_a=shared_a)
  module = _linear(lora)
  x = jax.random.normal(jax.random.key(seed), (3, width))
  params = _params(module, x, seed)
  pull = jax.random.normal(jax.random.key(seed + 2), (3, 5))

  def ours(params, x):
    return jnp.sum(module.apply({"params": params}, x) * pull)

  def loop(params, x):
    return jnp.sum(_loop(params, x, lora.scale) * pull)

  found = jax.jit(jax.value_and_grad(ours, argnums=(0, 1)))(params, x)
  expected = jax.jit(jax.value_and_grad(loop, argnums=(0, 1)))(params, x)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
    found,
    expected,
  )


def test_zero_b_leaves_the_base_bit_for_bit():
  x = jax.random.normal(jax.random.key(0), (7, 6))
  module = _linear(LORA)
  params = nn.meta.unbox(module.init(jax.random.key(1), x))["params"]
  base = {k: params[k] for k in ("kernel", "bias")}
  plain = _linear(None).apply({"params": base}, x)
  adapted = module.apply({"params": params}, x)
  assert np.asarray(plain).tobytes() == np.asarray(adapted).tobytes()


def test_at_zero_b_only_b_receives_a_gradient():
  x = jax.random.normal(jax.random.key(0), (7, 6))
  module = _linear(LORA)
  params = nn.meta.unbox(module.init(jax.random.key(1), x))["params"]
  gradients = jax.grad(lambda p: jnp.sum(module.apply({"params": p}, x) ** 2))(
    params
  )
  assert not np.any(gradients["lora_A"])
  assert not np.any(gradients["lora_route"])
  assert np.all(np.any(gradients["lora_B"], axis=(1, 2)))


def test_one_head_is_plain_lora_without_a_router():
  lora = dataclasses.replace(LORA, heads=1)
  x = jax.random.normal(jax.random.key(0), (7, 6))
  module = _linear(lora)
  params = _params(module, x)
  assert "lora_route" not in params
  plain = x @ params["kernel"] + params["bias"][None]
  plain += ((x @ params["lora_A"]) * lora.scale) @ params["lora_B"][0]
  np.testing.assert_array_equal(module.apply({"params": params}, x), plain)


def test_uniform_router_is_plain_lora_with_the_mean_of_the_heads():
  lora = dataclasses.replace(LORA, router="uniform")
  x = jax.random.normal(jax.random.key(0), (7, 6))
  module = _linear(lora)
  params = _params(module, x)
  assert "lora_route" not in params
  update = lora.scale * (x @ params["lora_A"]) @ params["lora_B"].mean(0)
  expected = x @ params["kernel"] + params["bias"][None] + update
  found = module.apply({"params": params}, x)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_top1_keeps_the_largest_gate_and_its_gradient():
  lora = dataclasses.replace(LORA, router="top1")
  x = jax.random.normal(jax.random.key(0), (7, 6))
  module = _linear(lora)
  params = _params(module, x)
  winners = np.argmax(x @ params["lora_route"], -1)
  assert len(set(winners.tolist())) > 1
  _, state = module.apply({"params": params}, x, mutable=["gates"])
  assert ((state["gates"]["gates"] > 0) == np.eye(3)[winners]).all()
  pull = jax.random.normal(jax.random.key(2), (7, 5))

  def ours(params):
    return jnp.sum(module.apply({"params": params}, x) * pull)

  def oracle(params):
    """One head a token, weighted by its softmax value."""
    gates = jax.nn.softmax(x @ params["lora_route"], axis=-1)
    gate = gates[np.arange(7), winners][:, None]
    code = x @ params["lora_A"]
    update = jnp.einsum("TR,TRF->TF", code, params["lora_B"][winners])
    y = x @ params["kernel"] + params["bias"][None]
    return jnp.sum((y + lora.scale * gate * update) * pull)

  found, expected = (jax.value_and_grad(f)(params) for f in (ours, oracle))
  assert np.any(found[1]["lora_route"])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
    found,
    expected,
  )


def test_a_bias_of_the_task_is_added_to_the_logits():
  lora = dataclasses.replace(LORA, router="task", tasks=4)
  x = jax.random.normal(jax.random.key(0), (5, 6))
  tasks = jnp.array([0, 3, 3, -1, 1])
  module = _linear(lora)
  params = _params(module, x)
  assert not np.any(params["lora_task"])  # a fresh router is the token's
  params["lora_task"] = jax.random.normal(jax.random.key(2), (4, 3))
  context = token_context.TokenContext(tasks=tasks)
  bias = np.where(tasks[:, None] >= 0, params["lora_task"][tasks], 0)
  gates = jax.nn.softmax(x @ params["lora_route"] + bias, axis=-1)

  def run(params, context):
    return module.apply({"params": params}, x, context, mutable=["gates"])

  _, state = run(params, context)
  np.testing.assert_allclose(state["gates"]["gates"], gates, rtol=1e-5)
  # Without tasks it is the router of a token.
  _, state = run(params, token_context.EMPTY)
  gates = jax.nn.softmax(x @ params["lora_route"], axis=-1)
  np.testing.assert_allclose(state["gates"]["gates"], gates, rtol=1e-5)
  gradient = jax.grad(lambda p: jnp.sum(run(p, context)[0] ** 2))(params)
  seen = np.any(gradient["lora_task"], axis=1)
  assert seen.tolist() == [True, True, False, True]


def test_dropout_keeps_the_router_and_the_mean():
  lora = dataclasses.replace(LORA, dropout=0.3)
  x = jax.random.normal(jax.random.key(0), (4, 6))
  params = _params(_linear(lora), x)
  still, exact = _linear(lora).apply({"params": params}, x, mutable=["gates"])

  def drop(key):
    return _linear(lora).apply(
      {"params": params}, x, DROPS, rngs={"dropout": key}, mutable=["gates"]
    )

  keys = jax.random.split(jax.random.key(3), 4000)
  outputs, states = jax.jit(jax.vmap(drop))(keys)
  gates = states["gates"]["gates"]
  np.testing.assert_allclose(
    gates, np.broadcast_to(exact["gates"]["gates"], gates.shape), atol=1e-6
  )
  spread = np.std(outputs, axis=0)
  assert np.all(spread > 0.1)
  error = np.abs(np.mean(outputs, axis=0) - still)
  assert np.all(error < 5 * spread / np.sqrt(len(keys)))


def test_dropout_rate_and_scale():
  x = jnp.ones((100, 101))  # an odd number of elements
  y = np.asarray(ilora.dropout(x, 0.1, jax.random.key(0)))
  kept = y != 0
  assert abs(kept.mean() - 0.9) < 0.01
  np.testing.assert_allclose(y[kept], 1 / 0.9, rtol=1e-4)
  assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize("width", [1, 6, 64, 101])
def test_dropout_draws_every_element_apart(width):
  x = jnp.ones((7, 600, width))
  kept = np.asarray(ilora.dropout(x, 0.5, jax.random.key(4))) != 0
  signs = 2.0 * np.moveaxis(kept, -1, 0).reshape(width, -1) - 1
  likeness = signs @ signs.T / signs.shape[1]
  np.testing.assert_allclose(likeness, np.eye(len(signs)), atol=0.09)
  rows = 2.0 * kept.reshape(-1, width) - 1
  assert abs(np.mean(rows[1:] * rows[:-1])) < 0.09


def test_dropout_follows_its_key():
  x = jnp.ones((50, 64))
  first, again, other = (
    ilora.dropout(x, 0.5, jax.random.key(seed)) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(first, again)
  assert abs(np.mean((first != 0) == (other != 0)) - 0.5) < 0.05


@pytest.mark.parametrize("shared", [False, True])
def test_projections_share_a_mask_only_on_request(shared):
  lora = dataclasses.replace(LORA, dropout=0.5, shared_mask=shared)
  config = configs.tiny(adapter=lora)
  mlp = layers.GatedMlp(
    8,
    config,
    ("embed", "mlp"),
    use_bias=False,
    adapter=lora,
  )
  x = jnp.ones((1, 64))
  rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
  params = nn.meta.unbox(mlp.init(rngs, x))["params"]
  # Gate and up get the same weights: equal outputs mean equal masks.
  same = _params(_linear(lora, features=8), x)
  del same["bias"]
  params["gate_proj"] = params["up_proj"] = same
  _, state = mlp.apply(
    {"params": params},
    x,
    DROPS,
    rngs={"dropout": jax.random.key(2)},
    capture_intermediates=True,
  )
  found = state["intermediates"]
  gate, up = (found[n]["__call__"][0] for n in ("gate_proj", "up_proj"))
  assert np.array_equal(gate, up) == shared


@pytest.mark.parametrize(
  ("name", "adapted"),
  [("o_proj", True), ("out_proj", False), ("proj", False), ("fc1", False)],
)
def test_only_the_targets_are_adapted(name, adapted):
  x = jnp.ones((2, 6))
  params = _linear(LORA, name).init(jax.random.key(0), x)["params"]
  assert set(params) == {"kernel", "bias"} | (
    set(LORA.shapes(6, 5)) if adapted else set()
  )


def test_initial_values():
  x = jnp.ones((2, 100))
  lora = dataclasses.replace(LORA, rank=64)
  module = _linear(lora, features=8)
  params = nn.meta.unbox(module.init(jax.random.key(0), x))["params"]
  for name in ("lora_A", "lora_route"):
    values = np.asarray(params[name])
    assert np.abs(values).max() <= 0.1
    assert abs(values.std() - 0.1 / np.sqrt(3)) < 0.006
  assert not np.any(params["lora_B"])


def test_adapter_is_float32_beside_a_bfloat16_base():
  config = configs.tiny(
    adapter=LORA, param_dtype="bfloat16", compute_dtype="bfloat16"
  )
  module = layers.Linear(
    5, config, ("embed", "heads"), adapter=LORA, name="q_proj"
  )
  x = jnp.ones((2, 6), jnp.bfloat16)
  params = nn.meta.unbox(module.init(jax.random.key(0), x))["params"]
  assert params["kernel"].dtype == jnp.bfloat16
  assert {params[n].dtype for n in LORA.shapes(6, 5)} == {jnp.dtype("float32")}
  assert module.apply({"params": params}, x).dtype == jnp.bfloat16


def test_router_sums_by_group():
  x = jax.random.normal(jax.random.key(0), (2, 5, 6))
  module = _linear(LORA)
  params = _params(module, x)
  groups = np.zeros((2, 5, 3), np.float32)
  groups[0, :3, 0] = groups[0, 3:, 1] = 1  # row 1 is padding
  groups[0, :2, 2] = 1  # groups may overlap
  context = token_context.TokenContext(groups=groups)
  _, state = module.apply(
    {"params": params}, x, context, mutable=["router", "gates"]
  )
  gates, sums = state["gates"]["gates"], state["router"]["sums"]
  columns = router_sums.Columns(3)
  assert sums.shape == (3, columns.width)
  np.testing.assert_allclose(sums[0, :3], gates[0, :3].sum(0), rtol=1e-5)
  np.testing.assert_allclose(sums[1, :3], gates[0, 3:].sum(0), rtol=1e-5)
  np.testing.assert_allclose(sums[2, :3], gates[0, :2].sum(0), rtol=1e-5)
  won = np.argmax(gates[0, :3], -1)
  counts = np.bincount(won, minlength=3)
  np.testing.assert_allclose(sums[0, columns.wins], counts)
  assert sums[0, columns.largest].sum() == 3
  logits = (x @ params["lora_route"])[0, :3]
  square = (logits**2).mean(-1).sum()
  np.testing.assert_allclose(sums[0, columns.logit_square], square, rtol=1e-5)
  y = module.apply({"params": params}, x, context)
  assert isinstance(y, jax.Array)  # nothing is recorded unasked

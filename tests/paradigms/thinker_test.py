"""The whole model: losses, gradients, gathers and router statistics."""

import dataclasses

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.models import token_context
from crab_jax.paradigms import thinker
from crab_jax.routers import sums as router_sums

LORA = configs.ILora(rank=2, heads=3, alpha=4.0, dropout=0.0)
SMALL = configs.Model(
  audio=configs.AudioTower(
    bins=4, layers=2, width=16, heads=2, mlp=16, unit_frames=8
  ),
  vision=configs.VisionTower(
    frame_size=8,
    patch=2,
    window=4,
    layers=2,
    width=16,
    heads=2,
    mlp=16,
    full_blocks=(1,),
  ),
  decoder=configs.Decoder(
    layers=2,
    width=16,
    heads=4,
    kv_heads=2,
    head_size=8,
    mlp=16,
    vocabulary=32,
    rope_sections=(2, 1, 1),
  ),
  adapter=LORA,
  compute_dtype="float32",
  param_dtype="float32",
  remat="none",
)


def _batch(seed=0):
  """Two rows: text, one frame pair (4 tokens), one chunk (2 tokens), text."""
  rng = np.random.default_rng(seed)
  batch = batch_lib.empty(SMALL, configs.Rows(2, 14, 2, 2, 3))
  batch["tokens"][:] = rng.integers(0, 32, (2, 14))
  batch["segments"][:, :12] = 1
  batch["positions"][:] = np.arange(14)[None, :, None]
  batch["source"][:, 2:6] = np.arange(4)
  batch["source"][:, 7:9] = 2 * 4 + np.arange(2)
  batch["frames"][:, 0] = rng.integers(0, 256, batch["frames"][:, 0].shape)
  batch["mel"][:, 0] = rng.standard_normal(batch["mel"][:, 0].shape)
  batch["mel_lengths"][:, 0] = 8
  batch["supervised"][:] = [[9, 10, 0], [5, 8, 10]]
  batch["labels"][:] = rng.integers(0, 32, (2, 3))
  batch["weights"][:] = [[1, 1, 0], [1, 1, 1]]
  return batch


@pytest.fixture(scope="module")
def params():
  init = jax.jit(thinker.init, static_argnums=1)
  return nn.meta.unbox(init(jax.random.key(0), SMALL))


def _gradients(config, params, batch):
  """The loss and the gradients by path."""
  model = thinker.Thinker(config)

  def loss(params):
    loss = model.apply({"params": params}, batch, method="loss")
    return loss.total / loss.weight

  value, gradients = jax.jit(jax.value_and_grad(loss))(params)
  return float(value), flax.traverse_util.flatten_dict(gradients, sep="/")


@pytest.fixture(scope="module")
def plain(params):
  return _gradients(SMALL, params, _batch())


def test_the_loss_starts_near_chance(plain):
  assert abs(plain[0] - np.log(32)) < 1.5


def test_every_base_leaf_and_every_b_get_a_gradient(plain):
  # A and the router wait until B is not zero.
  _, gradients = plain
  dead = {path for path, g in gradients.items() if not np.any(g)}
  waiting = {
    path
    for path in gradients
    if path.rpartition("/")[2] in ("lora_A", "lora_route")
  }
  assert dead == waiting
  assert len(waiting) == 2 * (7 + 3 + 3)
  for path, g in gradients.items():
    if path.endswith("lora_B"):
      assert np.all(np.any(g, axis=(2, 3))), path  # every layer, every head


@pytest.mark.parametrize(
  ("remat", "towers"),
  [
    ("full", "projections"),
    pytest.param("projections", "full", marks=pytest.mark.slow),
  ],
)
def test_rematerialisation_changes_nothing(params, plain, remat, towers):
  config = dataclasses.replace(
    SMALL, remat=remat, tower_remat=towers, logit_chunk=2
  )
  value, gradients = _gradients(config, params, _batch())
  assert abs(value - plain[0]) < 1e-5
  for path, g in gradients.items():
    np.testing.assert_allclose(g, plain[1][path], atol=2e-5, err_msg=path)


@pytest.mark.parametrize(
  ("towers", "stacks"), [(None, 3), ("full", 3), ("none", 1)]
)
def test_towers_are_rematerialised_apart(params, towers, stacks):
  config = dataclasses.replace(SMALL, remat="full", tower_remat=towers)
  model, batch = thinker.Thinker(config), _batch()
  jaxpr = jax.make_jaxpr(lambda p: model.apply({"params": p}, batch))(params)
  assert str(jaxpr).count("prevent_cse=") == stacks


def test_loss_sums_the_weighted_positions(params):
  batch = _batch()
  model = thinker.Thinker(SMALL)
  both = jax.jit(
    lambda p, b: (
      model.apply({"params": p}, b, method="loss"),
      model.apply({"params": p}, b, method="logits"),
      model.apply({"params": p}, b, b["supervised"], method="logits"),
    )
  )
  loss, logits, some = both(params, batch)
  assert np.all(np.isfinite(logits))  # padding, unused pairs and chunks too
  assert logits.dtype == np.float32
  rows = np.arange(2)[:, None]
  np.testing.assert_allclose(
    some, np.asarray(logits)[rows, batch["supervised"]], atol=1e-6
  )
  log = np.asarray(jax.nn.log_softmax(some))
  nll = -np.take_along_axis(log, batch["labels"][..., None], -1)[..., 0]
  np.testing.assert_allclose(loss.nll, nll, atol=1e-5)
  assert float(loss.weight) == 5
  np.testing.assert_allclose(
    float(loss.total), (nll * batch["weights"]).sum(), rtol=1e-5
  )


def test_features_replace_the_embeddings_they_are_the_source_of(params):
  batch = _batch()
  model = thinker.Thinker(SMALL)
  run = jax.jit(lambda p, b: model.apply({"params": p}, b))
  hidden = np.asarray(run(params, batch))
  other = dict(batch, tokens=batch["tokens"].copy())
  other["tokens"][:, [2, 5, 7, 8]] += 1  # placeholders: never looked up
  other["tokens"] %= 32
  np.testing.assert_array_equal(hidden, run(params, other))
  louder = dict(batch, mel=batch["mel"] + 0.5)
  changed = np.abs(np.asarray(run(params, louder)) - hidden).max(-1)
  assert not np.any(changed[:, :7])  # before the sound
  assert np.all(changed[:, 7:12])


def test_segments_keep_samples_apart(params):
  batch = _batch()
  batch["segments"][:] = np.where(np.arange(14) < 6, 1, 2)
  model = thinker.Thinker(SMALL)
  run = jax.jit(lambda p, b: model.apply({"params": p}, b))
  hidden = np.asarray(run(params, batch))
  other = dict(batch, tokens=batch["tokens"].copy())
  other["tokens"][:, 0] = (other["tokens"][:, 0] + 1) % 32
  changed = np.abs(np.asarray(run(params, other)) - hidden).max(-1)
  assert np.all(changed[:, :6])
  assert not np.any(changed[:, 6:])


@pytest.mark.slow
def test_bfloat16_runs_and_is_near(params, plain):
  config = dataclasses.replace(
    SMALL, compute_dtype="bfloat16", param_dtype="bfloat16"
  )
  half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  value, _ = _gradients(config, half, _batch())
  assert abs(value - plain[0]) < 0.05


def test_adapter_of_the_decoder_only_leaves_the_towers_alone():
  lora = dataclasses.replace(LORA, targets="lm")
  config = dataclasses.replace(SMALL, adapter=lora)
  flat = flax.traverse_util.flatten_dict(thinker.abstract(config), sep="/")
  adapted = {path.split("/")[0] for path in flat if "lora_" in path}
  assert adapted == {"model"}


def test_router_sums_of_all_towers(params):
  batch = _batch()
  groups = np.zeros((2, 14, 3), np.float32)
  groups[0, :12, 0] = groups[1, :12, 1] = 1
  groups[0, 2:6, 2] = 1  # the vision tokens of row 0
  model = thinker.Thinker(SMALL)

  def run(params):
    return model.apply(
      {"params": params},
      batch,
      token_context.TokenContext(groups=groups),
      method="loss",
      mutable=["router", "gates"],
    )[1]

  state = jax.jit(run)(params)
  router = flax.traverse_util.flatten_dict(state["router"], sep="/")
  assert len(router) == 7 + 3 + 3
  query = router["model/layers/self_attn/q_proj/sums"]
  assert query.shape == (2, 3, router_sums.Columns(3).width)
  # The three gates of a token add up to one, so sums count tokens.
  counts = {path: sums[:, :, :3].sum(-1) for path, sums in router.items()}
  for path, count in counts.items():
    expected = {"model": [12, 12, 4], "visual": [16, 16, 16]}.get(
      path.split("/")[0], [4, 4, 0]
    )
    np.testing.assert_allclose(
      count, np.broadcast_to(expected, (2, 3)), rtol=1e-5, err_msg=path
    )
  gates = state["gates"]["model"]["layers"]["self_attn"]["q_proj"]["gates"]
  assert gates.shape == (2, 2, 14, 3)
  np.testing.assert_allclose(
    query[:, 2, :3], gates[:, 0, 2:6].sum(1), rtol=1e-5
  )


def test_dropout_follows_its_key(params):
  lora = dataclasses.replace(LORA, dropout=0.5)
  config = dataclasses.replace(SMALL, adapter=lora)
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  tuned = flax.traverse_util.unflatten_dict(
    {k: v + 0.3 * k.endswith("lora_B") for k, v in flat.items()}, sep="/"
  )
  model, batch = thinker.Thinker(config), _batch()

  def run(key):
    return model.apply(
      {"params": tuned},
      batch,
      token_context.TokenContext(deterministic=False),
      rngs={"dropout": key},
      method="loss",
    ).total

  run = jax.jit(run)
  first = run(jax.random.key(0))
  assert first == run(jax.random.key(0))
  assert first != run(jax.random.key(1))

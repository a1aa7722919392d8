"""Generation: rows alone and together, padding, streams, stops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker

CONFIG = configs.Model(
  audio=configs.AudioTower(
    bins=4, layers=1, width=8, heads=2, mlp=8, unit_frames=8
  ),
  vision=configs.VisionTower(
    frame_size=8,
    patch=2,
    window=8,
    layers=1,
    width=8,
    heads=2,
    mlp=8,
    full_blocks=(),
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
    norm_epsilon=0.1,  # so that one norm without it would show
  ),
  adapter=configs.ILora(rank=2, heads=2, alpha=4.0),
  compute_dtype="float32",
  param_dtype="float32",
  remat="full",
)
LENGTHS = (10, 7, 0)  # the last row fills the batch up
NEW = 6


@pytest.fixture(scope="module")
def params():
  init = jax.jit(thinker.init, static_argnums=1)
  tree = nn.meta.unbox(init(jax.random.key(0), CONFIG))
  # B that is not zero, and logits that are not near a tie.
  return jax.tree_util.tree_map_with_path(
    lambda path, x: x + 0.3 if path[-1].key == "lora_B" else 2 * x, tree
  )


def _prompts(rows):
  """The same prompts, in a batch with so much room."""
  rng = np.random.default_rng(0)
  made = batch_lib.empty(CONFIG, rows)
  real = np.arange(10)[None] < np.array(LENGTHS)[:, None]
  made["tokens"][:, :10] = rng.integers(0, 32, (3, 10)) * real
  made["segments"][:, :10] = real
  made["positions"][:, :10] = (np.arange(10)[None] * real)[..., None]
  made["positions"][0, 5:10, 0] += 40  # time runs ahead
  made["source"][0, 1:5] = 4 + np.arange(4)  # the second pair of three
  made["source"][0, 6:8] = 4 * rows.frame_pairs + np.arange(2)  # the sound
  made["frames"][0, :3] = rng.integers(0, 256, (3, 2, 8, 8, 3))
  made["mel"][0, 0] = rng.standard_normal((8, 4))
  made["mel_lengths"][0, 0] = 8
  return made


@pytest.fixture(scope="module")
def batch():
  return _prompts(configs.Rows(3, tokens=10, frame_pairs=3, chunks=1))


@pytest.fixture(scope="module")
def generator():
  sampling = generate.Sampling(max_new_tokens=NEW, stop_tokens=())
  return generate.Generator(CONFIG, sampling)


@pytest.fixture(scope="module")
def answers(generator, params, batch):
  return np.asarray(generator(params, batch).tokens)


def _append(batch, row, tokens):
  """The batch with `tokens` after the prompt of `row`, and its length."""
  more = {k: v.copy() for k, v in batch.items()}
  first = LENGTHS[row]
  place = more["positions"][row, :first].max() + 1
  room = ((0, 0), (0, NEW))
  more["tokens"] = np.pad(more["tokens"], room)
  more["segments"] = np.pad(more["segments"], room)
  more["source"] = np.pad(more["source"], room, constant_values=-1)
  more["positions"] = np.pad(more["positions"], (*room, (0, 0)))
  for i, token in enumerate(tokens):
    more["tokens"][row, first + i] = token
    more["segments"][row, first + i] = 1
    more["positions"][row, first + i] = place + i
  return more, first + len(tokens)


def test_the_cache_gives_the_tokens_of_the_whole_forward_pass(
  params, batch, answers
):
  model = thinker.Thinker(CONFIG)
  logits = jax.jit(lambda p, b: model.apply({"params": p}, b, method="logits"))
  for row in (0, 1):
    for step in range(NEW):
      more, length = _append(batch, row, answers[row, :step])
      chosen = np.argmax(logits(params, more)[row, length - 1])
      assert chosen == answers[row, step], (row, step)


def test_a_row_does_not_depend_on_its_neighbours(generator, params, batch):
  whole = generator(params, batch)
  swapped = generator(params, {k: v[::-1] for k, v in batch.items()})
  np.testing.assert_array_equal(swapped.tokens[::-1], whole.tokens)


def test_a_row_of_padding_is_empty(generator, params, batch):
  found = generator(params, batch)
  assert list(found.lengths) == [NEW, NEW, 0]
  assert not np.any(found.tokens[2])


def test_stream_gives_the_same_tokens(generator, params, batch, answers):
  steps = list(generator.stream(params, batch))
  np.testing.assert_array_equal(np.stack(steps, axis=1), answers)


def test_stop_tokens_end_a_row_and_all_done_ends_the_loop(
  params, batch, answers
):
  first = next(t for t in answers[0] if t not in answers[1, :1])
  stops = (int(first), int(answers[1, 0]))
  sampling = generate.Sampling(max_new_tokens=NEW, stop_tokens=stops)
  run = generate.Generator(CONFIG, sampling)
  found = run(params, batch)
  ends = [list(np.isin(row, stops)).index(True) for row in answers[:2]]
  assert list(found.lengths) == [*ends, 0]
  assert list(found.ended) == [True, True, False]
  for row, end in enumerate(ends):
    np.testing.assert_array_equal(
      found.tokens[row, : end + 1], answers[row, : end + 1]
    )
    assert not np.any(found.tokens[row, end + 1 :])


@pytest.mark.parametrize(
  "context",
  [
    pytest.param(7, marks=pytest.mark.slow),
    11,
    pytest.param(15, marks=pytest.mark.slow),
  ],
)
def test_the_context_of_the_model_ends_a_row(params, batch, answers, context):
  """Each row has what its prompt leaves of the context."""
  sizes = dataclasses.replace(CONFIG.decoder, context=context)
  config = dataclasses.replace(CONFIG, decoder=sizes)
  # 0 is also what a row holds behind its end, and must not be taken for one.
  never = next(t for t in range(32) if t not in answers[:2])
  sampling = generate.Sampling(max_new_tokens=NEW, stop_tokens=(never,))
  run = generate.Generator(config, sampling)
  found = run(params, batch)
  wanted = [max(0, min(NEW, context - n)) if n else 0 for n in LENGTHS]
  assert list(found.lengths) == wanted
  assert not np.any(found.ended)
  for row, length in enumerate(wanted):
    np.testing.assert_array_equal(
      found.tokens[row, :length], answers[row, :length]
    )
    assert not np.any(found.tokens[row, length:])
  steps = list(run.stream(params, batch))
  assert len(steps) == max(*wanted, 1)


def test_padding_changes_no_answer(generator, params, answers):
  padded = _prompts(configs.Rows(3, tokens=16, frame_pairs=4, chunks=2))
  np.testing.assert_array_equal(generator(params, padded).tokens, answers)


def test_one_shape_is_one_program(params, batch):
  """Whatever is in the arrays that the network does not read."""
  run = generate.Generator(CONFIG, generate.Sampling(max_new_tokens=2))
  longer = dict(batch, labels=np.zeros((3, 99), np.int32))
  for given in (batch, longer):
    run(params, given)
  assert run._generate._cache_size() == 1


def test_sampled_tokens_depend_on_the_key(params, batch):
  sampling = generate.Sampling(
    max_new_tokens=NEW, temperature=3.0, repetition_penalty=1.2
  )
  run = generate.Generator(CONFIG, sampling)
  first = run(params, batch, jax.random.key(0))
  again = run(params, batch, jax.random.key(0))
  other = run(params, batch, jax.random.key(1))
  np.testing.assert_array_equal(first.tokens, again.tokens)
  assert np.any(first.tokens != other.tokens)


def test_the_cache_lies_as_the_rules_say(params, batch):
  auto = (jax.sharding.AxisType.Auto,) * 2
  mesh = jax.make_mesh((2, 2), ("data", "tensor"), axis_types=auto)
  rules = (("batch", "data"), ("act_kv_heads", "tensor"))
  batch = {name: values[:2] for name, values in batch.items()}

  @jax.jit
  def run(params, batch):
    state = generate.prefill(
      params, batch, jax.random.key(0), CONFIG, generate.Sampling()
    )
    return state.past, state.cache

  with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
    found = run(params, batch)
  wanted = jax.sharding.NamedSharding(
    mesh, jax.sharding.PartitionSpec("data", "tensor")
  )
  assert len(jax.tree.leaves(found)) == 2 * 2 * CONFIG.decoder.layers
  for part in jax.tree.leaves(found):
    assert part.sharding.is_equivalent_to(wanted, part.ndim)


def test_bfloat16_decodes():
  config = dataclasses.replace(
    CONFIG, compute_dtype="bfloat16", param_dtype="bfloat16"
  )
  shapes = nn.meta.unbox(thinker.abstract(config))
  sampling = generate.Sampling(max_new_tokens=2)

  def run(params, batch, key):
    return generate.generate(params, batch, key, config, sampling)

  batch = batch_lib.abstract(config, configs.Rows(1, 8, 1, 1))
  key = jax.eval_shape(lambda: jax.random.key(0))
  found = jax.eval_shape(run, shapes, batch, key)
  assert found.tokens.shape == (1, 2)
  assert found.tokens.dtype == jnp.int32

"""The whole network of the family: counts, static shapes, boundary rows."""

import collections
import dataclasses

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.models import decoder
from crab_jax.models import token_context
from crab_jax.paradigms import network
from crab_jax.paradigms import thinker
from tests.models import random_parameters

_SIZES = configs.tiny_clip_beats()
_TINY = dataclasses.replace(
  _SIZES,
  audio=dataclasses.replace(_SIZES.audio, layers=1),
  vision=dataclasses.replace(_SIZES.vision, layers=1),
  decoder=dataclasses.replace(_SIZES.decoder, layers=1),
)
_ROWS = configs.Rows(rows=1, tokens=24, frame_pairs=2, chunks=2, supervised=4)


def _sizes(model: configs.Model) -> dict[str, int]:
  tree = nn.meta.unbox(thinker.abstract(model))
  sizes: collections.Counter[str] = collections.Counter()
  for path, leaf in flax.traverse_util.flatten_dict(tree, sep="/").items():
    group = network.of(model).group(path)
    tops = path.split("/")[0] if group in ("towers", "projectors") else "model"
    sizes[f"{tops} {group}"] += int(np.prod(leaf.shape))
  return dict(sizes)


@pytest.mark.parametrize(
  ("preset", "projectors", "language_model"),
  [
    (
      configs.clip_beats_llama2_7b,
      (39_649_280, 38_862_336),
      {"model boundary": 17 * 4096, "model lm": 6_738_415_616},
    ),
    (
      configs.clip_beats_qwen2_7b,
      (35_322_880, 34_535_936),
      {"model boundary": 17 * 3584, "model lm": 7_615_616_512},
    ),
  ],
)
def test_the_released_sizes(preset, projectors, language_model):
  """CLIP without its last layer; BEATs with its weight norm multiplied out."""
  assert _sizes(preset()) == {
    "clip towers": 303_179_776 - 12_598_272,
    "beats towers": 90_311_792 - 128,
    "clip projectors": projectors[0],
    "beats projectors": projectors[1],
    **language_model,
  }
  # The docstring has the sum.
  total = sum(_sizes(preset()).values())
  assert f"{total:,} parameters" in preset.__doc__


@pytest.mark.parametrize(
  ("preset", "rank", "count"),
  [
    (configs.clip_beats_llama2_7b, 128, 671_358_976),
    # As the released adapter is.
    pytest.param(
      configs.clip_beats_llama2_7b, 8, 45_162_496, marks=pytest.mark.slow
    ),
    pytest.param(
      configs.clip_beats_qwen2_7b, 128, 682_350_592, marks=pytest.mark.slow
    ),
  ],
)
def test_the_adapter_of_the_language_model(preset, rank, count):
  adapter = configs.ILora(rank=rank, targets="lm")
  whole = sum(_sizes(preset(adapter=adapter)).values())
  base = {
    configs.clip_beats_llama2_7b: 7_197_890_032,
    configs.clip_beats_qwen2_7b: 8_066_429_424,
  }
  assert whole == base[preset] + count


@pytest.fixture(scope="module")
def params():
  return random_parameters.draw(_TINY)


_features = jax.jit(
  lambda params, batch: thinker.Thinker(_TINY).apply(
    {"params": params}, batch, method="features"
  )
)


def test_unused_units_change_nothing(params):
  """Rows of two units each, and of four with rubbish in the others."""
  batch = batch_lib.random(_TINY, _ROWS)
  batch["mel_lengths"][0] = (96, 40)
  batch["mel"][0, 1, 40:] = 0
  alone = np.asarray(_features(params, batch))[0]
  more = batch_lib.random(
    _TINY, dataclasses.replace(_ROWS, frame_pairs=4, chunks=4), seed=1
  )
  for name in ("frames", "mel", "mel_lengths"):
    more[name][:, :2] = batch[name]
  more["mel"][0, 1, 40:] = 7.0  # behind the end of a segment
  more["mel_lengths"][0, 3] = 0
  found = np.asarray(_features(params, more))[0]
  assert np.isfinite(found).all() and np.abs(alone).max() > 0.1
  seen, heard = 2 * _TINY.vision.unit_tokens, 2 * _TINY.audio.unit_tokens
  np.testing.assert_allclose(found[:seen], alone[:seen], atol=1e-5)
  # 40 frames are two patches and a half: the half is left out.
  np.testing.assert_allclose(found[2 * seen :][:heard], alone[seen:], atol=1e-5)


def test_added_tokens_have_rows_of_their_own(params):
  first, count = _TINY.decoder.boundary
  tokens = np.array([[first - 1, first, first + count - 1, first + count]])
  table = params["model"]["embed_tokens"]

  def change(name, rows):
    changed = dict(table, **{name: _moved(table[name], rows)})
    tree = dict(params, model=dict(params["model"], embed_tokens=changed))
    return [_embedded(p, tokens) for p in (params, tree)]

  before, after = change("boundary", np.array([0, count - 1]))
  np.testing.assert_allclose((after - before)[0, :, 0], [0, 1, 1, 0], atol=1e-5)
  before, after = change("weight", tokens[0])
  np.testing.assert_allclose((after - before)[0, :, 0], [1, 0, 0, 1], atol=1e-5)


def _moved(table, rows):
  table = table.copy()
  table[rows] += 1
  return table


def _embedded(params, tokens):
  table = params["model"]["embed_tokens"]
  return np.asarray(decoder.Embedding(_TINY).apply({"params": table}, tokens))


def test_a_table_may_end_before_the_added_tokens():
  sizes = dataclasses.replace(_TINY.decoder, vocabulary=30, boundary=(30, 17))
  model = dataclasses.replace(_TINY, decoder=sizes)
  assert sizes.ids == 47
  tree = nn.meta.unbox(thinker.abstract(model))
  assert tree["lm_head"]["kernel"].shape == (128, 30)
  assert tree["model"]["embed_tokens"]["boundary"].shape == (17, 128)
  with pytest.raises(ValueError, match="Decoder.boundary"):
    dataclasses.replace(sizes, boundary=(31, 17))


def test_a_pooled_projector_averages_over_frames_and_over_patches():
  vision = dataclasses.replace(_TINY.vision, projector="pooled", unit_frames=3)
  model = dataclasses.replace(_TINY, vision=vision)
  family = network.of(model)
  encoder = family.vision(model)
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (1, 2, 3, 112, 112, 3)).astype(np.uint8)
  params = {"params": random_parameters.draw(model)["clip"]}
  run = jax.jit(encoder.apply)
  found = np.asarray(run(params, frames))
  assert found.shape == (1, 2, 16 + 3, 128)
  # Frames in another order: the same patches' means, the frames' means moved.
  turned = np.asarray(run(params, frames[:, :, ::-1]))
  np.testing.assert_allclose(turned[:, :, :16], found[:, :, :16], atol=1e-5)
  np.testing.assert_allclose(
    turned[:, :, 16:], found[:, :, 16:][:, :, ::-1], atol=1e-5
  )
  assert np.abs(found[:, :, 16] - found[:, :, 18]).max() > 1e-2


def test_dropout_of_the_queries_draws_while_the_model_trains(params):
  vision = dataclasses.replace(_TINY.vision, query_dropout=0.5)
  model = dataclasses.replace(_TINY, vision=vision)
  assert model.drops and not _TINY.drops
  encoder = network.of(model).vision(model)
  frames = np.zeros((1, 1, 1, 112, 112, 3), np.uint8)

  @jax.jit
  def run(seed):
    return encoder.apply(
      {"params": params["clip"]},
      jnp.asarray(frames),
      token_context.TokenContext(deterministic=False),
      rngs={"dropout": jax.random.key(seed)},
    )

  assert np.abs(run(0) - run(1)).max() > 0.01
  np.testing.assert_array_equal(run(0), run(0))

"""Chunks: convolutions as products, sinusoids, short and unused chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms.qwen2_5_omni import audio_tower

CONFIG = configs.tiny(
  audio=configs.AudioTower(
    bins=4, layers=1, width=8, heads=2, mlp=8, unit_frames=20
  )
)


def test_sinusoids():
  table = audio_tower.sinusoids(100, 1280)
  places = [(1, 0), (1, 639), (1, 640), (99, 0)]
  found = [table[place] for place in places]
  expected = [0.841471, 1.0e-4, 0.540302, -0.999207]
  np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution(stride):
  conv = audio_tower.Conv(
    5, CONFIG, ("patch_inputs", "tower_embed"), stride=stride
  )
  x = jax.random.normal(jax.random.key(0), (2, 3, 20, 4))
  params = nn.meta.unbox(conv.init(jax.random.key(1), x))["params"]
  params["bias"] = jnp.arange(5.0)
  expected = jax.lax.conv_general_dilated(
    x.reshape(6, 20, 4),
    params["kernel"],
    (stride,),
    ((1, 1),),
    dimension_numbers=("NWC", "WIO", "NWC"),
  ).reshape(2, 3, 20 // stride, 5)
  found = conv.apply({"params": params}, x)
  np.testing.assert_allclose(
    found, expected + params["bias"].reshape(1, 1, 1, -1), atol=1e-5
  )


@pytest.fixture(scope="module")
def run():
  tower = audio_tower.AudioTower(CONFIG)
  mel = jax.random.normal(jax.random.key(0), (1, 2, 20, 4))
  lengths = jnp.array([[20, 20]])
  params = jax.jit(tower.init)(jax.random.key(1), mel, lengths)
  return jax.jit(lambda mel, lengths: tower.apply(params, mel, lengths)), mel


def test_a_chunk_ignores_its_neighbours(run):
  tower, mel = run
  lengths = jnp.array([[20, 20]])
  other = mel.at[0, 1].add(1)
  found, changed = tower(mel, lengths), tower(other, lengths)
  np.testing.assert_array_equal(found[0, 0], changed[0, 0])
  assert np.abs(found[0, 1] - changed[0, 1]).max() > 1e-3


def test_positions_start_again_in_every_chunk(run):
  tower, mel = run
  same = mel.at[0, 1].set(mel[0, 0])
  found = tower(same, jnp.array([[20, 20]]))
  np.testing.assert_allclose(found[0, 0], found[0, 1], atol=1e-6)


def test_frames_beyond_the_length_do_not_count(run):
  tower, mel = run
  lengths = jnp.array([[13, 20]])  # 7 positions, 3 tokens
  mel = mel.at[0, 0, 13:].set(0)
  found = tower(mel, lengths)
  # Longer lengths let the sinusoids of the rest be seen.
  longer = tower(mel, jnp.array([[20, 20]]))
  assert np.abs(found[0, 0, :3] - longer[0, 0, :3]).max() > 1e-3


def test_an_unused_chunk_is_finite_and_harmless(run):
  tower, mel = run
  found = tower(mel.at[0, 1].set(0), jnp.array([[20, 0]]))
  assert np.all(np.isfinite(found))
  both = tower(mel, jnp.array([[20, 20]]))
  np.testing.assert_array_equal(found[0, 0], both[0, 0])

"""Rotary tables: the specification's spot values."""

import jax.numpy as jnp
import numpy as np

from crab_jax import configs
from crab_jax.models import rope


def test_decoder_frequencies():
  turns = rope.frequencies(128, 1e6)
  np.testing.assert_allclose(
    turns[[0, 1, 15, 16, 40]],
    [1, 0.805842, 0.0392419, 0.0316228, 1.77828e-4],
    rtol=2e-6,
  )


def test_sections_turn_by_their_axis():
  config = configs.Decoder()
  positions = jnp.array([[2, 3, 5]])
  cos, sin = rope.decoder_table(positions, config)
  angles = np.repeat([2, 3, 5], [16, 24, 24]) * rope.frequencies(128, 1e6)
  np.testing.assert_allclose(cos[0], np.cos(angles), atol=1e-6)
  np.testing.assert_allclose(sin[0], np.sin(angles), atol=1e-6)


def test_vision_frequencies():
  cos, sin = rope.vision_table(np.array([[1, 0], [0, 1], [3, 2]]), 80)
  turns = np.arctan2(sin, cos)
  assert turns.shape == (3, 40)
  np.testing.assert_allclose(
    turns[0, [0, 1, 19]], [1, 0.630957, 1.58489e-4], rtol=1e-5
  )
  np.testing.assert_allclose(turns[0, :20], turns[1, 20:])
  assert not np.any(turns[0, 20:])


def test_rotation_pairs_a_dimension_with_the_other_half():
  x = jnp.zeros((1, 2, 1, 4)).at[..., 0].set(1)
  angle = np.array([[0.0, 0.0], [0.5, 0.25]])
  y = rope.rotate(x, (np.cos(angle), np.sin(angle)))
  expected = [[1, 0, 0, 0], [np.cos(0.5), 0, np.sin(0.5), 0]]
  np.testing.assert_allclose(y[0, :, 0], expected, atol=1e-7)


def test_the_inner_product_depends_on_the_distance():
  rng = np.random.default_rng(0)
  q, k = jnp.asarray(rng.standard_normal((2, 1, 1, 1, 32)))
  config = configs.tiny().decoder

  def product(a, b):
    x = rope.rotate(q, rope.decoder_table(jnp.full((1, 1, 3), a), config))
    y = rope.rotate(k, rope.decoder_table(jnp.full((1, 1, 3), b), config))
    return float(jnp.sum(x * y))

  np.testing.assert_allclose(product(3, 10), product(40, 47), rtol=1e-4)
  assert abs(product(3, 10) - product(3, 11)) > 1e-3

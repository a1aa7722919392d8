"""Window order, patch rows and the static shapes of the vision tower."""

import jax
import jax.numpy as jnp
import numpy as np

from crab_jax import configs
from crab_jax.paradigms.qwen2_5_omni import vision_tower

FULL_SIZE = configs.VisionTower()


def test_window_order_of_a_224_frame():
  rows = [[0, 8, 16, 24], [4, 12, 20, 28], [32, 40, 48, 56], [36, 44, 52, 60]]
  expected = [start + i for row in rows for start in row for i in range(4)]
  np.testing.assert_array_equal(vision_tower.window_order(FULL_SIZE), expected)


def test_patch_coordinates_of_a_224_frame():
  found = vision_tower.patch_coordinates(FULL_SIZE)
  assert found.shape == (256, 2)
  expected = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
  np.testing.assert_array_equal(found[:8], expected)
  # The second window begins at merged column 4, the third at merged row 4.
  np.testing.assert_array_equal(found[64], (0, 8))
  np.testing.assert_array_equal(found[128], (8, 0))
  assert len({tuple(place) for place in found}) == 256


def test_patch_columns_are_channel_frame_row_column():
  tower = configs.VisionTower(
    frame_size=8, patch=2, window=4, width=8, heads=2, layers=1, full_blocks=()
  )
  shape = (1, 1, 2, 8, 8, 3)
  frames = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  rows = np.asarray(vision_tower.patchify(frames, tower))[0, 0]
  assert rows.shape == (16, 24)
  for place, (row, column) in enumerate(vision_tower.patch_coordinates(tower)):
    patch = frames[0, 0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
    scaled = (patch / 255 - vision_tower.MEAN) / vision_tower.STD
    expected = scaled.transpose(3, 0, 1, 2).reshape(-1)
    np.testing.assert_allclose(rows[place], expected, atol=1e-6)


def test_a_black_frame():
  frames = np.zeros((1, 1, 2, 112, 112, 3), np.uint8)
  rows = np.asarray(vision_tower.patchify(frames, configs.tiny().vision))
  channels = rows.reshape(-1, 3, 2 * 28 * 28)
  black = [-1.7923, -1.7521, -1.4802]
  np.testing.assert_allclose(channels.mean((0, 2)), black, atol=1e-4)


def test_raster_order_undoes_window_order():
  tokens = jnp.asarray(vision_tower.window_order(FULL_SIZE), jnp.float32)
  back = vision_tower.to_raster(tokens.reshape(1, 1, 64, 1), FULL_SIZE)
  np.testing.assert_array_equal(np.asarray(back)[0, 0, :, 0], np.arange(64))


def test_window_blocks_see_one_window_and_full_blocks_all():
  config = configs.tiny(
    vision=configs.VisionTower(
      frame_size=8,
      patch=2,
      window=4,
      width=8,
      heads=2,
      mlp=8,
      layers=2,
      full_blocks=(1,),
    )
  )
  block = vision_tower.VisionAttention(config)
  table = np.ones((16, 2), np.float32), np.zeros((16, 2), np.float32)
  x = jax.random.normal(jax.random.key(0), (1, 2, 16, 8))
  params = block.init(jax.random.key(1), x, table, jnp.asarray(True))

  def reach(full):
    """Which patches the first patch of the first pair reads."""
    gradient = jax.grad(
      lambda x: jnp.sum(block.apply(params, x, table, full)[0, 0, 0])
    )(x)
    return np.any(gradient != 0, axis=-1)[0]

  for full, seen in ((jnp.asarray(False), 4), (jnp.asarray(True), 16)):
    expected = np.zeros((2, 16), bool)
    expected[0, :seen] = True
    np.testing.assert_array_equal(reach(full), expected)

"""The encoders of Qwen2.5-Omni: contradictions, and their units."""

import numpy as np
import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.AudioTower(width=63, heads=1), "AudioTower.width=63"),
    (lambda: configs.AudioTower(width=64, heads=3), "AudioTower.heads=3"),
    (
      lambda: configs.AudioTower(unit_frames=200, pool=3),
      "AudioTower.unit_frames=200",
    ),
    (lambda: configs.VisionTower(frame_size=225), "VisionTower.frame_size=225"),
    (lambda: configs.VisionTower(window=100), "VisionTower.window=100"),
    (
      lambda: configs.VisionTower(frame_size=224, window=84),
      "multiple of VisionTower.window=84",
    ),
    (lambda: configs.VisionTower(width=1280, heads=12), "VisionTower.heads=48"),
    (lambda: configs.VisionTower(layers=4), "full_blocks"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_what_follows_from_the_released_sizes():
  audio, vision = configs.AudioTower(), configs.VisionTower()
  assert (audio.unit_positions, audio.unit_tokens) == (100, 50)
  assert (audio.frame_rate, audio.token_rate) == (100.0, 25.0)
  assert (vision.unit_positions, vision.unit_tokens) == (256, 64)
  assert (vision.unit_frames, vision.token_grid) == (2, (8, 8))
  assert [vision.units_of(frames) for frames in (1, 2, 9, 10)] == [1, 1, 5, 5]


def test_positions_of_mel_frames():
  frames = np.array([0, 1, 2, 3, 12, 101, 102, 103, 199, 200])
  found = configs.AudioTower().positions_of(frames)
  np.testing.assert_array_equal(found, [0, 1, 1, 2, 6, 51, 51, 52, 100, 100])


@pytest.mark.parametrize(
  ("frames", "lengths"),
  [(0, []), (2, []), (3, [3]), (200, [200]), (202, [200]), (350, [200, 150])],
)
def test_a_rest_without_a_token_is_no_chunk(frames, lengths):
  assert configs.AudioTower().unit_lengths(160 * frames) == lengths

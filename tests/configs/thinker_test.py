"""The network's settings: what does not fit together is an error."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.AudioTower(width=63, heads=1), "AudioTower.width=63"),
    (lambda: configs.AudioTower(width=64, heads=3), "AudioTower.heads=3"),
    (
      lambda: configs.AudioTower(chunk_frames=200, pool=3),
      "AudioTower.chunk_frames=200",
    ),
    (lambda: configs.VisionTower(frame_size=225), "VisionTower.frame_size=225"),
    (lambda: configs.VisionTower(window=100), "VisionTower.window=100"),
    (
      lambda: configs.VisionTower(frame_size=224, window=84),
      "multiple of VisionTower.window=84",
    ),
    (lambda: configs.VisionTower(width=1280, heads=12), "VisionTower.heads=48"),
    (lambda: configs.VisionTower(layers=4), "full_blocks"),
    (lambda: configs.Decoder(context=0), "Decoder.context=0"),
    (lambda: configs.Decoder(kv_heads=3), "Decoder.kv_heads=3"),
    (lambda: configs.Decoder(rope_sections=(1, 2, 3)), "Decoder.rope_sections"),
    (lambda: configs.Model(compute_dtype="float16"), "Model.compute_dtype"),
    (lambda: configs.Model(remat="half"), "Model.remat"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_what_follows_from_the_released_sizes():
  audio, vision = configs.AudioTower(), configs.VisionTower()
  assert (audio.chunk_positions, audio.chunk_tokens) == (100, 50)
  assert (vision.grid, vision.pair_patches, vision.pair_tokens) == (16, 256, 64)

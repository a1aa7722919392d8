"""Where records come from: the ranges of their settings."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.World(val_samples=3), "World.val_samples=3"),
    (
      lambda: configs.World(train_factors={"avqa": 0}),
      "World.train_factors has avqa: 0",
    ),
    (
      lambda: configs.Preparation(frame_format="gif"),
      "Preparation.frame_format",
    ),
    (
      lambda: configs.Preparation(shard_records=0),
      "Preparation.shard_records=0",
    ),
    (
      lambda: configs.Preparation(jpeg_quality=101),
      "Preparation.jpeg_quality=101",
    ),
    (
      lambda: configs.Preparation(max_bad_share=1.5),
      "Preparation.max_bad_share=1.5",
    ),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()

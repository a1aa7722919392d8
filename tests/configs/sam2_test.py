"""Settings of SAM 2.1 that contradict each other."""

import pytest

from crab_jax import configs


def test_the_widths_double():
  assert configs.SAM2_SIZES["large"].widths == (144, 288, 576, 1152)
  assert configs.SAM2_SIZES["base-plus"].grid == 64


@pytest.mark.parametrize(
  ("changes", "named"),
  [
    ({"image_size": 1000}, "image_size"),
    ({"blocks": (1, 2, 3)}, "blocks"),
    ({"windows": (8, 4, 14, 0)}, "windows"),
    ({"windows": (8, 5, 14, 7)}, "windows"),
    ({"global_blocks": (3,)}, "global_blocks"),  # the first of stage 3
    ({"global_blocks": (12,)}, "global_blocks"),
    ({"features": 100}, "features"),
    ({"mask_channels": 6}, "mask_channels"),
    ({"encoder_dtype": "float16"}, "encoder_dtype"),
    ({"decoder_mlp": 0}, "decoder_mlp"),
  ],
)
def test_a_contradiction_is_named(changes, named):
  with pytest.raises(ValueError, match=named):
    configs.Sam2(**changes)

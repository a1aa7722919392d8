"""The sizes of the thinker: a preset with changes is still that preset.

Their parameters are counted in tests/models/parameters_test.py.
"""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("preset", "width"),
  [
    (configs.tiny, 128),
    (configs.qwen2_5_omni_3b, 2048),
    (configs.qwen2_5_omni_7b, 3584),
  ],
)
def test_a_change_leaves_the_rest(preset, width):
  adapter = configs.ILora(rank=2)
  changed = preset(adapter=adapter)
  assert changed.adapter == adapter
  assert changed.decoder.width == width
  assert preset().adapter is None

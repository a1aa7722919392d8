"""The network's settings: what does not fit together is an error."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Decoder(context=0), "Decoder.context=0"),
    (lambda: configs.Decoder(kv_heads=3), "Decoder.kv_heads=3"),
    (lambda: configs.Decoder(rope_sections=(1, 2, 3)), "Decoder.rope_sections"),
    (lambda: configs.Decoder(norm_epsilon=0.0), "Decoder.norm_epsilon=0.0"),
    (lambda: configs.Model(compute_dtype="float16"), "Model.compute_dtype"),
    (lambda: configs.Model(remat="half"), "Model.remat"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()

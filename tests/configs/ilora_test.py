"""The adapter's settings: their ranges, and the scale."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.ILora(rank=0), "ILora.rank=0"),
    (lambda: configs.ILora(heads=0), "ILora.heads=0"),
    (lambda: configs.ILora(dropout=1.0), "ILora.dropout=1.0"),
    (lambda: configs.ILora(targets="towers"), "ILora.targets"),
    (lambda: configs.ILora(router="none"), "ILora.router"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_the_update_is_scaled_by_alpha_over_rank():
  assert configs.ILora(rank=16, alpha=32).scale == 2

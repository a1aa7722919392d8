"""The base of the settings: a wrong type is named as a user writes it."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class _Part(checked.Checked):
  share: float = 0.5
  rows: configs.Rows | None = None

  def check(self):
    checked.require(self.share < 1, f"share={self.share} must be below 1")


def test_an_int_is_a_float():
  assert _Part(share=0).share == 0


def test_what_check_demands():
  with pytest.raises(ValueError, match="share=2"):
    _Part(share=2)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"share": "half"}, "_Part.share = 'half' must be of type float"),
    ({"rows": 3}, "_Part.rows = 3 must be of type Rows | None"),
  ],
)
def test_a_wrong_type_is_named(fields, said):
  with pytest.raises(TypeError) as caught:
    _Part(**fields)
  assert str(caught.value) == said

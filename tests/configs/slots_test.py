"""Settings of slots: what is refused, by name."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  "wrong",
  [
    {"slots": 0},
    {"new_tokens": -1},
    {"queue": 0},
    {"burst": 0},
    {"prefix_bytes": -1},
    {"decode_dtype": "float16"},
  ],
)
def test_wrong_settings_name_themselves(wrong):
  (name,) = wrong
  with pytest.raises(ValueError, match=f"Slots.{name}"):
    configs.Slots(**wrong)

"""The bases of the encoders' settings."""

import dataclasses

import pytest

from crab_jax import configs


@dataclasses.dataclass(frozen=True)
class Half(configs.VisionUnits):
  """Settings that leave members out."""

  frame_size: int = 16
  unit_frames: int = 1


def test_a_missing_member_is_named():
  with pytest.raises(TypeError, match="token_grid.*unit_positions"):
    Half()
  with pytest.raises(TypeError, match="tokens_of.*unit_lengths"):
    type("Ear", (configs.AudioUnits,), {})()


def test_a_model_takes_units_of_any_family_and_nothing_else():
  with pytest.raises(TypeError, match="Model.vision"):
    configs.Model(vision=configs.AudioTower())

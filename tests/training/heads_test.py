"""Likeness of heads, against values worked out by hand."""

import numpy as np
import pytest

from crab_jax.training import heads

_PATH = ("model", "layers", "q_proj")


def _params(b, tower="model"):
  return {tower: {"layers": {"q_proj": {"lora_B": np.array(b, np.float32)}}}}


def test_cosines():
  b = np.array([[[[3.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]]])
  wanted = [[1, 0, 0.5**0.5], [0, 1, 0.5**0.5], [0.5**0.5, 0.5**0.5, 1]]
  np.testing.assert_allclose(heads.cosines(b)[0], wanted, atol=1e-6)


def test_angles_look_at_spaces_not_at_bases():
  one = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
  same = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
  other = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
  assert heads.mean_angle(one, same) == pytest.approx(0, abs=1e-4)
  assert heads.mean_angle(one, other) == pytest.approx(45)  # 0 and 90
  assert np.isnan(heads.mean_angle(one, 0 * one))


def test_a_tower_of_zeros_is_dead():
  alive = _params([[[1.0, 0.0]], [[0.0, 0.0]]])
  dead = _params([[[0.0, 0.0]], [[0.0, 0.0]]], "visual")
  params = {**alive, **dead}
  assert heads.dead_towers(params) == ["vision tower"]
  found = heads.summary(params)
  assert found["language model"]["zero"] == 0.5
  assert found["language model"]["norm"] == 0.5
  assert np.isnan(found["vision tower"]["angle"])


def test_what_is_said_while_training_is_what_the_summary_says():
  rng = np.random.default_rng(0)
  b = rng.standard_normal((2, 3, 4, 5))
  b[1, 2] = 0
  params = {**_params(b), **_params(b[0], "visual")}
  found, wanted = heads.while_training(params), heads.summary(params)
  assert set(found) == set(wanted)
  for tower, numbers in found.items():
    for name, value in numbers.items():
      assert value == pytest.approx(wanted[tower][name], abs=1e-6)
  assert found["language model"]["zero"] == pytest.approx(1 / 6)

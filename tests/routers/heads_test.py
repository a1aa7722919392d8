"""Likeness of heads, against values worked out by hand."""

import numpy as np
import pytest

from crab_jax.routers import heads

_PATH = ("model", "layers", "q_proj")


def _params(b, tower="model", a=None):
  b = np.array(b, np.float32)
  if a is None:
    a = np.ones((*b.shape[:-3], 2, b.shape[-2]), np.float32)
  leaves = {"lora_A": np.asarray(a, np.float32), "lora_B": b}
  return {tower: {"layers": {"q_proj": leaves}}}


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


@pytest.mark.parametrize("shared", [True, False])
def test_updates_are_the_norms_of_the_products(shared):
  rng = np.random.default_rng(0)
  a = rng.standard_normal((2, 6, 4) if shared else (2, 3, 6, 4))
  b = rng.standard_normal((2, 3, 4, 5))
  found = heads.updates(_params(b, a=a))["/".join(_PATH)]
  product = (a[:, None] if shared else a) @ b
  wanted = np.sqrt((product**2).sum((-2, -1)))
  np.testing.assert_allclose(found, wanted, rtol=1e-5)

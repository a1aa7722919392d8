"""Resizing against torch."""

import numpy as np
import pytest
import torch

from crab_jax.models.sam2 import resizing


@pytest.mark.parametrize(
  ("before", "after"), [(7, 32), (14, 256), (7, 7), (8, 5)]
)
@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_equals_torch(before, after, mode):
  image = np.random.default_rng(0).standard_normal((before, before))
  wanted = torch.nn.functional.interpolate(
    torch.tensor(image)[None, None], size=(after, after), mode=mode
  )
  make = resizing.cubic if mode == "bicubic" else resizing.linear
  matrix = make(before, after).astype(np.float64)
  np.testing.assert_allclose(
    matrix @ image @ matrix.T, wanted[0, 0].numpy(), atol=1e-6
  )


@pytest.mark.parametrize("make", [resizing.cubic, resizing.linear])
@pytest.mark.parametrize(("before", "after"), [(1, 4), (3, 17), (56, 224)])
def test_a_constant_stays_one(make, before, after):
  np.testing.assert_allclose(make(before, after).sum(1), 1, atol=1e-6)

"""Resizing against torch."""

import numpy as np
import pytest
import torch

from crab_jax.models.sam2 import resizing


@pytest.mark.parametrize(
  ("before", "after"), [(7, 32), (14, 256), (7, 7), (8, 5)]
)
def test_equals_torch(before, after):
  image = np.random.default_rng(0).standard_normal((before, before))
  wanted = torch.nn.functional.interpolate(
    torch.tensor(image)[None, None], size=(after, after), mode="bicubic"
  )
  matrix = resizing.cubic(before, after).astype(np.float64)
  np.testing.assert_allclose(
    matrix @ image @ matrix.T, wanted[0, 0].numpy(), atol=1e-6
  )


@pytest.mark.parametrize(("before", "after"), [(1, 4), (3, 17), (56, 224)])
def test_a_constant_stays_one(before, after):
  np.testing.assert_allclose(resizing.cubic(before, after).sum(1), 1, atol=1e-6)

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax.models import few_rows
from crab_jax.models import quantised

_D, _F = 64, 96


def _arrays(rows):
  rng = np.random.default_rng(rows)
  x = rng.standard_normal((rows, _D)).astype(np.float32)
  return x, rng.standard_normal((_D, _F)).astype(np.float32)


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 16])
def test_float32_rows_are_multiplied(rows, is_turned):
  x, kernel = _arrays(rows)
  given = kernel.T.copy() if is_turned else kernel
  found = few_rows.project(x, given, is_turned=is_turned)
  np.testing.assert_allclose(found, x @ kernel, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_narrow_kernels_lose_nothing_of_the_rows(rows, is_turned, dtype):
  """Beside the kernel's own rounding: rows keep some 15 bits, or all."""
  x, kernel = _arrays(rows)
  x = jnp.asarray(x, dtype)
  integers, scale = quantised.quantise(kernel)
  for narrow, scales in (
    (integers, np.asarray(scale)[None]),
    (jnp.asarray(kernel, jnp.bfloat16), 1),
  ):
    wide = np.asarray(narrow, np.float32)
    given = narrow.T if is_turned else narrow
    found = few_rows.project(x, given, is_turned=is_turned, dtype=jnp.float32)
    wanted = np.asarray(x, np.float32) @ wide
    off = np.abs(np.asarray(found) - wanted) * scales
    size = np.linalg.norm(wanted * scales, axis=1).max() / _F**0.5
    assert off.max() < 1e-3 * size
    assert few_rows.project(x, given, is_turned=is_turned).dtype == dtype


def test_rows_of_zeros_stay_zero():
  x, kernel = _arrays(2)
  integers, _ = quantised.quantise(kernel)
  found = few_rows.project(x * np.float32([[0], [1]]), integers)
  assert not np.any(found[0]) and np.all(np.isfinite(found))


def test_leading_axes_stay():
  x, kernel = _arrays(6)
  found = few_rows.project(x.reshape(2, 3, _D), kernel)
  assert found.shape == (2, 3, _F)


def test_only_kernels_are_turned():
  _, kernel = _arrays(1)
  tree = {"up": {"kernel": kernel, "bias": kernel[0]}, "norm": kernel[:, 0]}
  found = few_rows.turn(tree)
  assert found["up"].keys() == {few_rows.TURNED, "bias"}
  np.testing.assert_array_equal(found["up"][few_rows.TURNED], kernel.T)
  np.testing.assert_array_equal(found["norm"], tree["norm"])


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_no_row_meets_the_slow_loop_of_one(dtype):
  """XLA:CPU multiplies one narrow row number by number."""
  x = jnp.ones((1, _D))
  kernel = jnp.ones((_D, _F), dtype)
  run = jax.jit(functools.partial(few_rows.project, dtype=jnp.float32))
  text = run.lower(x, kernel).compile().as_text()
  assert f"[2,{_F}]" in text

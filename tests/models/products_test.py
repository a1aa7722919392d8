"""Products by matrices: the plain ones, and what XLA:CPU makes of them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax.models import products

_WIDE, _NARROW = (5, 48), (48, 5)  # of the matrix


def _arrays(*shapes):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def _gradients(function, *arguments):
  """Of a sum that weighs every output differently."""
  return jax.grad(
    lambda *a: jnp.sum(jnp.sin(function(*a))), range(len(arguments))
  )(*arguments)


def _compare(ours, plain, arguments):
  np.testing.assert_allclose(ours(*arguments), plain(*arguments), rtol=1e-5)
  for one, other in zip(
    _gradients(ours, *arguments), _gradients(plain, *arguments), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [_WIDE, _NARROW])
def test_a_projection_and_its_gradients(shape):
  arguments = _arrays((2, 3, shape[0]), shape)
  _compare(products.project, lambda x, w: x @ w, arguments)


@pytest.mark.parametrize("features", [4, 48])
def test_heads_and_their_gradients(features):
  arguments = _arrays((2, 3, 2, 5), (2, 5, features))

  def plain(code, b):
    return jnp.einsum("BTER,ERF->BTF", code, b)

  _compare(products.project_heads, plain, arguments)


def test_a_kept_value_is_the_value_and_so_is_its_gradient():
  (x,) = _arrays((3, 4))
  np.testing.assert_array_equal(products.kept(x), x)
  _compare(products.kept, lambda x: x, (x,))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_have_the_dtype_of_their_array(dtype):
  x, w = (a.astype(dtype) for a in _arrays((6, 5), _WIDE))
  assert [g.dtype for g in _gradients(products.project, x, w)] == [dtype] * 2


def _compiled(function, *arguments):
  gradients = jax.jit(lambda *a: _gradients(function, *a))
  return gradients.lower(*arguments).compile().as_text()


def test_cpu_writes_no_wide_gradient_anew():
  """[features, rows] would be it: the slowest operation of a step."""
  rows, features = 512, 384
  arguments = _arrays((2, rows // 2, 3, 32), (3, 32, features))
  turned = f"f32[{features},{rows}]"
  plain = _compiled(lambda x, w: jnp.einsum("BTER,ERF->BTF", x, w), *arguments)
  assert turned in plain
  assert turned not in _compiled(products.project_heads, *arguments)


_DIMENSIONS = (((1,), (0,)), ((), ()))


def _dot(x, w):
  return products.dot_general(x, w, _DIMENSIONS)


def test_a_product_of_any_type_is_what_it_says():
  x, w = _arrays((16, 64), (64, 8))
  np.testing.assert_allclose(_dot(x, w), x @ w, rtol=1e-5)
  x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
  exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64)
  found = jax.jit(_dot)(x, w)
  assert found.dtype == jnp.bfloat16
  # Rounded once, at the end: half of the last of eight bits.
  np.testing.assert_allclose(
    np.asarray(found, np.float64), exact, rtol=2**-8, atol=1e-6
  )


@pytest.mark.parametrize(
  ("platform", "kind"), [("cpu", "f32"), ("tpu", "bf16")]
)
def test_bfloat16_is_summed_in_float32_on_cpu_alone(platform, kind):
  """A CPU is faster so; for a TPU nothing changes."""
  shapes = [jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in ((4, 8), (8, 16))]
  made = jax.export.export(jax.jit(_dot), platforms=[platform])(*shapes)
  text = made.mlir_module()
  found = re.findall(r"stablehlo.dot_general .* -> tensor<4x16x(\w+)>", text)
  assert found == [kind]

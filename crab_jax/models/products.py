"""The product of rows by a matrix, with gradients that suit XLA:CPU.

The gradient of a matrix is a product over all rows, for which XLA:CPU writes
its first operand anew, transposed: so the narrower of the two comes first. And
XLA computes a gradient that many products read anew for each of them unless it
is told to keep it (`kept`). On other devices the same products are asked for in
the same precision, and the compiler orders them as it likes.
"""

import functools

import jax
import jax.numpy as jnp

from crab_jax import array_types as at


def settled(x: at.Array) -> at.Array:
  """On CPU, keeps XLA from folding what makes `x` into what reads it."""
  # Not by `jax.default_backend()`: a host without TPUs compiles for TPUs too.
  return jax.lax.platform_dependent(
    x, cpu=jax.lax.optimization_barrier, default=lambda x: x
  )


def dot_general(
  x: at.Array, kernel: at.Array, dimensions, precision=None
) -> at.Array:
  """`jax.lax.dot_general`, in the type of `x`; fast in bfloat16 on CPU too."""
  narrow = functools.partial(
    jax.lax.dot_general, dimension_numbers=dimensions, precision=precision
  )
  if x.dtype == jnp.float32:
    return narrow(x, kernel)

  def wide(x, kernel):
    # XLA:CPU gives bfloat16 to the processor's matrix units (AMX) only where the
    # result is float32: six times as fast on a Xeon.
    y = narrow(x, kernel, preferred_element_type=jnp.float32)
    return y.astype(x.dtype)

  return jax.lax.platform_dependent(x, kernel, cpu=wide, default=narrow)


@jax.custom_vjp
def kept(y: at.Array) -> at.Array:
  """y, whose gradient is computed once, however many products read it."""
  return y


kept.defvjp(lambda y: (y, None), lambda _, grad: (settled(grad),))


def project(
  x: at.Float[at.Array, "*B D"], kernel: at.Float[at.Array, "D F"]
) -> at.Float[at.Array, "*B F"]:
  """x kernel, as one product of matrices."""
  # [*B, D] -> [T, D]: with the leading axes kept apart, XLA:CPU makes the
  # kernel's gradient by a product that is half as fast.
  y = _product(x.reshape(-1, x.shape[-1]), kernel)
  return y.reshape(*x.shape[:-1], kernel.shape[-1])


def project_heads(
  code: at.Float[at.Array, "*B E R"], b: at.Float[at.Array, "E R F"]
) -> at.Float[at.Array, "*B F"]:
  """sum_e code_e B_e, as one product of matrices."""
  # [*B, E, R] -> [T, E, R], as in `project`.
  y = _product(code.reshape(-1, *code.shape[-2:]), b)
  return y.reshape(*code.shape[:-2], b.shape[-1])


@jax.custom_vjp
def _product(x, weight):
  """x [T, *K] weight [*K, F]."""
  inner = _inner(weight)
  return jnp.einsum(f"T{inner},{inner}F->TF", x, weight)


def _inner(weight) -> str:
  """The letters of the axes that are summed over."""
  return "D" if weight.ndim == 2 else "ER"


def _forward(x, weight):
  return _product(x, weight), (x, weight)


def _backward(saved, grad):
  x, weight = saved
  inner, features = _inner(weight), weight.shape[-1]
  dx = jnp.einsum(f"TF,{inner}F->T{inner}", grad, weight)
  # XLA:CPU writes the first operand anew, transposed: the narrower comes first.
  if weight.size <= features**2:  # x is the narrower one
    return dx, jnp.einsum(f"T{inner},TF->{inner}F", x, grad)
  # [F, *K] -> [*K, F]: what is turned is the result, not a wide operand.
  return dx, jnp.moveaxis(jnp.einsum(f"TF,T{inner}->F{inner}", grad, x), 0, -1)


_product.defvjp(_forward, _backward)

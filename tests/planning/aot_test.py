"""Compiling for devices that are not there; here those of the CPU."""

import jax
import jax.numpy as jnp
import pytest

from crab_jax import errors
from crab_jax.planning import aot

_GIB = 2**30


def test_the_compilers_complaint_is_a_size():
  error = ValueError(
    "... Ran out of memory in memory space hbm. Used 17.50G of 15.75G hbm. ..."
  )
  assert aot._too_large(error) == 17.5 * _GIB
  with pytest.raises(ValueError, match="something else"):
    aot._too_large(ValueError("something else"))


def test_a_compiled_program_says_its_memory():
  shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
  program = aot.compile_lowered(jax.jit(lambda x: x @ x).lower(shape))
  assert "ENTRY" in program.text
  assert program.memory["arguments"] == program.memory["outputs"] == 4 * 64**2
  assert program.peak_bytes >= 2 * 4 * 64**2
  assert program.seconds > 0


def test_a_program_that_does_not_fit_is_a_result():
  class Lowered:
    def compile(self):
      raise jax.errors.JaxRuntimeError("Used 40.00G of 15.75G hbm")

  program = aot.compile_lowered(Lowered())
  assert (program.text, program.peak_bytes) == ("", 40 * _GIB)


def test_a_topology_that_nobody_knows_is_refused():
  with pytest.raises(errors.UserError, match="v9z"):
    aot.devices("v9z:2x2")

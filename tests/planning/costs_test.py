"""Costs of compiled programs that are small enough to count by hand."""

import jax
import jax.numpy as jnp
import pytest

from crab_jax.planning import costs
from crab_jax.planning import hlo
from tests.planning import bounds
from tests.planning import programs

_L, _N, _D, _R, _E = 5, 12, 16, 4, 3


def _layer(x, weights):
  w, a, b = weights
  code = jnp.einsum("TD,DR->TR", x, a)
  mixed = jnp.full((1, _E, 1), 1 / _E) * code[:, None]
  y = jnp.einsum("TD,DF->TF", x, w) + jnp.einsum("TER,ERF->TF", mixed, b)
  return jnp.tanh(y), None


def _compiled():
  """A scan of rematerialised layers, gradients of the adapter alone."""

  def loss(adapter, w, x):
    layer = jax.checkpoint(_layer, prevent_cse=False)
    return jnp.sum(jax.lax.scan(layer, x, (w, *adapter))[0] ** 2)

  shapes = {
    "a": (_L, _D, _R), "b": (_L, _E, _R, _D), "w": (_L, _D, _D), "x": (_N, _D),
  }  # fmt: skip
  a, b, w, x = (jnp.ones(shape) for shape in shapes.values())
  return jax.jit(jax.grad(loss)).lower((a, b), w, x).compile()


@pytest.fixture(scope="module")
def module():
  return hlo.parse(_compiled().as_text())


@pytest.fixture(scope="module")
def found(module):
  return costs.count(module)


def test_products_are_counted_with_their_loops(found):
  """Forward, again, and backward: the base once, the adapter twice."""
  base = 2 * _N * _D * _D
  adapter = 2 * _N * _R * (_D + _E * _D)
  assert found.flops == _L * (3 * base + 4 * adapter)
  assert found.adapter == _L * 4 * adapter
  assert found.again == _L * (base + adapter)


def test_every_argument_is_read_at_least_once(module, found):
  assert found.hbm_bytes >= bounds.argument_bytes(module) > _L * _D * _D * 4


_SLICES = """\
HloModule jit_g, is_scheduled=true

%cut (q0: f32[5,64], q1: s32[]) -> f32[1,64] {
  %q0 = f32[5,64]{1,0} parameter(0)
  %q1 = s32[] parameter(1)
  ROOT %slice = f32[1,64]{1,0} dynamic-slice(%q0, %q1, %q1), dynamic_slice_sizes={1,64}
}

%update (p0: f32[5,64], p1: f32[64], p2: s32[], p3: f32[5,64]) -> f32[5,64] {
  %p0 = f32[5,64]{1,0} parameter(0)
  %p1 = f32[64]{0} parameter(1)
  %p2 = s32[] parameter(2)
  %p3 = f32[5,64]{1,0} parameter(3)
  %same = f32[5,64]{1,0} bitcast(%p3)
  %part = f32[1,64]{1,0} fusion(%same, %p2), kind=kLoop, calls=%cut
  %row = f32[1,64]{1,0} bitcast(%p1)
  %sum = f32[1,64]{1,0} add(%row, %part)
  ROOT %new = f32[5,64]{1,0} dynamic-update-slice(%p0, %sum, %p2, %p2)
}

ENTRY %main (a: f32[5,64], b: f32[64], i: s32[], w: f32[5,64]) -> f32[5,64] {
  %a = f32[5,64]{1,0} parameter(0)
  %b = f32[64]{0} parameter(1)
  %i = s32[] parameter(2)
  %w = f32[5,64]{1,0} parameter(3)
  %fetched = (f32[64]{0:S(1)}, f32[64]{0}, u32[]) copy-start(%b)
  %here = f32[64]{0:S(1)} copy-done(%fetched)
  ROOT %c = f32[5,64]{1,0} fusion(%a, %here, %i, %w), kind=kLoop, calls=%update
}
"""


def test_memory_traffic_counts_what_is_touched():
  """A row fetched, a row of the stack read, a row of the result written."""
  found = costs.count(hlo.parse(_SLICES))
  assert found.hbm_bytes == 3 * 64 * 4 + 4  # and the index


@pytest.fixture(scope="module")
def traffic():
  return costs.count(hlo.parse(programs.COLLECTIVES))


def test_an_overlapped_collective_counts_once(traffic):
  """The same channel stands in the fusions that start and finish it.

  One that goes on inside a loop is counted where it starts: once.
  """
  assert traffic.calls["all-gather"] == 4 + 1
  loop, outside = 4 * 16 * 256 * 2, 16 * 64 * 2
  assert traffic.received["all-gather"] == (7 / 8) * (loop + outside)


def test_an_all_reduce_travels_twice(traffic):
  operands = 2 * 16 * 256 * 2
  assert traffic.received["all-reduce"] == 4 * 2 * (3 / 4) * operands


def test_a_permute_brings_its_whole_array(traffic):
  assert traffic.received["collective-permute"] == 4 * 16 * 32 * 2
  assert traffic.largest["collective-permute"][0] == 4 * 16 * 32 * 2

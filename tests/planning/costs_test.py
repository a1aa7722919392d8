"""Costs of compiled programs that are small enough to count by hand."""

import jax
import jax.numpy as jnp
import pytest

from crab_jax.planning import costs
from crab_jax.planning import hlo

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
def found():
  return costs.count(hlo.parse(_compiled().as_text()))


def test_products_are_counted_with_their_loops(found):
  """Forward, again, and backward: the base once, the adapter twice."""
  base = 2 * _N * _D * _D
  adapter = 2 * _N * _R * (_D + _E * _D)
  assert found.flops == _L * (3 * base + 4 * adapter)
  assert found.adapter == _L * 4 * adapter
  assert found.again == _L * (base + adapter)


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


_COLLECTIVES = """\
HloModule jit_f, is_scheduled=true, num_partitions=8

%fused (p0: bf16[1,16,32]) -> bf16[1,16,256] {
  %p0 = bf16[1,16,32]{2,1,0:T(8,128)(2,1)} parameter(0)
  ROOT %ag.1 = bf16[1,16,256]{2,1,0:T(8,128)(2,1)S(1)} all-gather(%p0), channel_id=7, replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}, dimensions={2}, metadata={op_name="jit(f)/TD,DF->TF/dot_general"}
}

%begin (p: bf16[16,8]) -> (bf16[16,8], bf16[16,64]) {
  %p = bf16[16,8]{1,0} parameter(0)
  %ag.2 = bf16[16,64]{1,0} all-gather(%p), channel_id=10, replica_groups=[1,8]<=[8], dimensions={1}
  ROOT %begun = (bf16[16,8]{1,0}, bf16[16,64]{1,0}) custom-call(%ag.2), custom_call_target="AsyncCollectiveStart"
}

%meanwhile (p: bf16[16,8], q: bf16[16,64]) -> (bf16[16,64], bf16[16,64]) {
  %p = bf16[16,8]{1,0} parameter(0)
  %q = bf16[16,64]{1,0} parameter(1)
  %ag.3 = bf16[16,64]{1,0} all-gather(%p), channel_id=10, replica_groups=[1,8]<=[8], dimensions={1}
  ROOT %both = (bf16[16,64]{1,0}, bf16[16,64]{1,0}) tuple(%q, %ag.3)
}

%body (arg: (s32[], bf16[4,16,32])) -> (s32[], bf16[4,16,32]) {
  %arg = (s32[], bf16[4,16,32]{2,1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %two = s32[] constant(2)
  %next = s32[] add(%i, %two)
  %w = bf16[4,16,32]{2,1,0} get-tuple-element(%arg), index=1
  %slice = bf16[1,16,32]{2,1,0} dynamic-slice(%w, %i, %i, %i), dynamic_slice_sizes={1,16,32}
  %start = bf16[1,16,256]{2,1,0:S(1)} fusion(%slice), kind=kCustom, calls=%fused
  %done = bf16[1,16,256]{2,1,0:S(1)} fusion(%slice), kind=kCustom, calls=%fused
  %passing = bf16[16,8]{1,0} bitcast(%slice)
  %under = (bf16[16,64]{1,0}, bf16[16,64]{1,0}) fusion(%passing, %start), kind=kCustom, calls=%meanwhile
  %reduced = (bf16[64]{0}, bf16[8,8]{1,0}) all-reduce(%start, %done), channel_id=8, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%sum
  ROOT %out = (s32[], bf16[4,16,32]{2,1,0}) tuple(%next, %w)
}

%cond (c: (s32[], bf16[4,16,32])) -> pred[] {
  %c = (s32[], bf16[4,16,32]{2,1,0}) parameter(0)
  %n = s32[] constant(8)
  %j = s32[] get-tuple-element(%c), index=0
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (x: bf16[4,16,32]) -> bf16[4,16,32] {
  %x = bf16[4,16,32]{2,1,0} parameter(0)
  %zero = s32[] constant(0)
  %part = bf16[16,8]{1,0} bitcast(%x)
  %first = (bf16[16,8]{1,0}, bf16[16,64]{1,0}) fusion(%part), kind=kCustom, calls=%begin
  %start = (s32[], bf16[4,16,32]{2,1,0}) tuple(%zero, %x)
  %loop = (s32[], bf16[4,16,32]{2,1,0}) while(%start), condition=%cond, body=%body
  %moved = (bf16[4,16,32]{2,1,0}, bf16[4,16,32]{2,1,0}, u32[], u32[]) collective-permute-start(%x), channel_id=9, source_target_pairs={{0,1},{1,0}}
  ROOT %y = bf16[4,16,32]{2,1,0} get-tuple-element(%loop), index=1
}
"""


@pytest.fixture(scope="module")
def traffic():
  return costs.count(hlo.parse(_COLLECTIVES))


def test_an_unrolled_loop_runs_fewer_times():
  module = hlo.parse(_COLLECTIVES)
  assert hlo.trips(module, module.computations["main"]["loop"]) == 4


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


def test_arrays_on_the_chip_are_no_memory_traffic():
  module = hlo.parse(_COLLECTIVES)
  line = module.computations["body"]["start"]
  assert not line.arrays[0].in_hbm
  assert module.computations["body"]["slice"].arrays[0].in_hbm

"""What is read and written, in programs written by hand.

`x` has 64 rows of 32 numbers, `w` 32 rows of 16; `y` is their product.
"""

import pytest

from crab_jax.planning import costs
from crab_jax.planning import hlo
from tests.planning import bounds

_X, _W, _Y, _ROW = 64 * 32 * 4, 32 * 16 * 4, 64 * 16 * 4, 32 * 4

_BITCAST = """\
%rename (b0: f32[64,32]) -> f32[64,32] {
  %b0 = f32[64,32]{1,0} parameter(0)
  ROOT %same = f32[64,32]{1,0} bitcast(%b0)
}
"""
_TWICE = """\
%twice (t0: f32[64,32]) -> f32[64,32] {
  %t0 = f32[64,32]{1,0} parameter(0)
  ROOT %once = f32[64,32]{1,0} fusion(%t0), kind=kLoop, calls=%rename
}
"""
_PAIR = """\
%pair (r0: f32[64,32], r1: f32[64,32]) -> (f32[64,32], f32[64,32]) {
  %r0 = f32[64,32]{1,0} parameter(0)
  %r1 = f32[64,32]{1,0} parameter(1)
  %other = f32[64,32]{1,0} negate(%r0)
  ROOT %both = (f32[64,32]{1,0}, f32[64,32]{1,0}) tuple(%other, %r1)
}
"""
_SECOND = """\
%second (s0: f32[64,32], s1: f32[64,32]) -> f32[64,32] {
  %s0 = f32[64,32]{1,0} parameter(0)
  %s1 = f32[64,32]{1,0} parameter(1)
  ROOT %sum = f32[64,32]{1,0} negate(%s1)
}
"""
_DOT = "lhs_contracting_dims={1}, rhs_contracting_dims={0}"


def _program(body, result="f32[64,16]", entry="", called=""):
  """A program of one fusion of x, w, a row and an index."""
  return f"""\
HloModule jit_f, is_scheduled=true

{_BITCAST}
{_TWICE}
{_PAIR}
{_SECOND}
{called}
%fused (p: f32[64,32], q: f32[32,16], row: f32[1,32], i: s32[]) -> {result} {{
  %p = f32[64,32]{{1,0}} parameter(0)
  %q = f32[32,16]{{1,0}} parameter(1)
  %row = f32[1,32]{{1,0}} parameter(2)
  %i = s32[] parameter(3)
{body}
}}

ENTRY %main (x: f32[64,32], w: f32[32,16], u: f32[1,32], n: s32[]) -> {result} {{
  %x = f32[64,32]{{1,0}} parameter(0)
  %w = f32[32,16]{{1,0}} parameter(1)
  %u = f32[1,32]{{1,0}} parameter(2)
  %n = s32[] parameter(3)
{entry}
  ROOT %y = {result} fusion(%x, %w, %u, %n), kind=kOutput, calls=%fused
}}
"""


def _product(source):
  return f"{source}\n  ROOT %d = f32[64,16]{{1,0}} dot(%v, %q), {_DOT}"


_WHOLE = {
  "a product": "%v = f32[64,32]{1,0} copy(%p)",
  "a bitcast in a nested fusion": (
    "%v = f32[64,32]{1,0} fusion(%p), kind=kLoop, calls=%rename"
  ),
  "one nested twice": (
    "%v = f32[64,32]{1,0} fusion(%p), kind=kLoop, calls=%twice"
  ),
  "a bitcast behind it": (
    "%m = f32[64,32]{1,0} fusion(%p), kind=kLoop, calls=%rename\n"
    "%v = f32[64,32]{1,0} bitcast(%m)"
  ),
  "an element of a nested tuple": (
    "%c = f32[64,32]{1,0} constant({...})\n"
    "%m = (f32[64,32], f32[64,32]) fusion(%c, %p), kind=kLoop, calls=%pair\n"
    "%v = f32[64,32]{1,0} get-tuple-element(%m), index=1"
  ),
  "the second of two equal operands": (
    "%v = f32[64,32]{1,0} fusion(%p, %p), kind=kLoop, calls=%second"
  ),
  "a custom call": (
    '%v = f32[64,32]{1,0} custom-call(%p), custom_call_target="kernel"'
  ),
  "rows by an index": (
    "%v = f32[64,32]{1,0} gather(%p, %i), slice_sizes={1,32}"
  ),
}


@pytest.mark.parametrize("source", _WHOLE.values(), ids=_WHOLE)
def test_an_operand_is_read_whole_once(source):
  module = hlo.parse(_program(_product(source)))
  found = costs.count(module)
  index = 4 if "gather" in source else 0
  assert found.hbm_bytes == _X + _W + _Y + index
  assert bounds.argument_bytes(module) == _X + _W + index


_PARTS = {
  "a slice that moves": "%v = f32[1,32]{1,0} dynamic-slice(%p, %i, %i)",
  "one behind a nested fusion": (
    "%m = f32[64,32]{1,0} fusion(%p), kind=kLoop, calls=%twice\n"
    "%v = f32[1,32]{1,0} dynamic-slice(%m, %i, %i)"
  ),
}


@pytest.mark.parametrize("source", _PARTS.values(), ids=_PARTS)
def test_a_slice_reads_itself(source):
  root = f"{source}\n  ROOT %o = f32[1,32]{{1,0}} add(%v, %row)"
  found = costs.count(hlo.parse(_program(root, "f32[1,32]{1,0}")))
  assert found.hbm_bytes == 3 * _ROW + 4  # and the index


def test_a_fixed_slice_reads_itself():
  body = (
    "%v = f32[1,32]{1,0} slice(%p), slice={[3:4], [0:32]}\n"
    "  ROOT %o = f32[1,32]{1,0} add(%v, %row)"
  )
  found = costs.count(hlo.parse(_program(body, "f32[1,32]{1,0}")))
  assert found.hbm_bytes == 3 * _ROW


@pytest.mark.parametrize("name", ["rename", "twice"])
def test_a_fusion_that_only_renames_copies(name):
  body = f"ROOT %o = f32[64,32]{{1,0}} fusion(%p), kind=kLoop, calls=%{name}"
  found = costs.count(hlo.parse(_program(body, "f32[64,32]{1,0}")))
  assert found.hbm_bytes == 2 * _X


_UPDATE = "%new = f32[64,32]{1,0} dynamic-update-slice(%p, %row, %i, %i)"


@pytest.mark.parametrize("name", ["", "rename", "twice"])
def test_an_update_in_place_writes_itself(name):
  end = "ROOT %o = f32[64,32]{1,0} " + (
    f"fusion(%new), kind=kLoop, calls=%{name}" if name else "bitcast(%new)"
  )
  program = _program(f"{_UPDATE}\n  {end}", "f32[64,32]{1,0}")
  found = costs.count(hlo.parse(program))
  assert found.hbm_bytes == 2 * _ROW + 4


def test_what_is_updated_and_then_read_is_read_whole():
  """Keys and values of generation: a row is written, all are read."""
  body = f"""{_UPDATE}
  %d = f32[64,16]{{1,0}} dot(%new, %q), {_DOT}
  ROOT %o = (f32[64,32]{{1,0}}, f32[64,16]{{1,0}}) tuple(%new, %d)"""
  program = _program(body, "(f32[64,32]{1,0}, f32[64,16]{1,0})")
  found = costs.count(hlo.parse(program))
  assert found.hbm_bytes == _X + _W + _Y + 2 * _ROW + 4


def test_an_update_of_new_numbers_writes_them_all():
  body = f"""%zeros = f32[64,32]{{1,0}} broadcast(%i), dimensions={{}}
  {_UPDATE.replace("%p", "%zeros").replace("%new", "ROOT %new")}"""
  found = costs.count(hlo.parse(_program(body, "f32[64,32]{1,0}")))
  assert found.hbm_bytes == _X + _ROW + 4


_PLAIN = "ROOT %o = f32[1,32]{1,0} negate(%row)"
_LOOP = """\
%negated (n0: f32[64,32]) -> f32[64,32] {
  %n0 = f32[64,32]{1,0} parameter(0)
  ROOT %n1 = f32[64,32]{1,0} negate(%n0)
}

%kept (k0: f32[64,32]) -> f32[64,32] {
  ROOT %k0 = f32[64,32]{1,0} parameter(0)
}

%body (b: (s32[], f32[64,32])) -> (s32[], f32[64,32]) {
  %b = (s32[], f32[64,32]{1,0}) parameter(0)
  %b0 = s32[] get-tuple-element(%b), index=0
  %b1 = f32[64,32]{1,0} get-tuple-element(%b), index=1
  %b2 = f32[64,32]{1,0} call(%b1), to_apply=%negated
  ROOT %b3 = (s32[], f32[64,32]{1,0}) tuple(%b0, %b2)
}

%condition (c: (s32[], f32[64,32])) -> pred[] {
  %c = (s32[], f32[64,32]{1,0}) parameter(0)
  ROOT %go = pred[] constant(true)
}
"""
_WHILE = """\
  %start = (s32[], f32[64,32]{1,0}) tuple(%n, %x)
  %loop = (s32[], f32[64,32]{1,0}) while(%start), condition=%condition, \
body=%body, backend_config={"known_trip_count":{"n":"3"}}"""
_ENTRIES = {
  "a call": ("%e = f32[64,32]{1,0} call(%x), to_apply=%negated", 2 * _X),
  "a loop": (_WHILE, 3 * 2 * _X),
  "the larger branch": (
    "%e = f32[64,32]{1,0} conditional(%n, %x, %x),"
    " branch_computations={%kept, %negated}",
    2 * _X,
  ),
  "a copy onto the chip": (
    "%s = (f32[64,32]{1,0:S(1)}, f32[64,32]{1,0}, u32[]) copy-start(%x)\n"
    "  %e = f32[64,32]{1,0:S(1)} copy-done(%s)",
    _X,
  ),
  "a copy in memory": (
    "%s = (f32[64,32]{1,0}, f32[64,32]{1,0}, u32[]) copy-start(%x)\n"
    "  %e = f32[64,32]{1,0} copy-done(%s)",
    2 * _X,
  ),
  "a slice onto the chip": (
    "%s = ((f32[64,32]{1,0}), f32[1,32]{1,0:S(1)}, s32[]) slice-start(%x)\n"
    "  %e = f32[1,32]{1,0:S(1)} slice-done(%s)",
    _ROW,
  ),
  "a slice": ("%e = f32[1,32]{1,0} slice(%x), slice={[3:4], [0:32]}", 2 * _ROW),
  "a buffer": (
    '%e = f32[64,32]{1,0} custom-call(), custom_call_target="AllocateBuffer"',
    0,
  ),
  "a sum over the chips": (
    "%s = f32[64,32]{1,0} all-reduce-start(%x), replica_groups={{0,1}}\n"
    "  %e = f32[64,32]{1,0} all-reduce-done(%s)",
    2 * _X,
  ),
  "shards of the chips": (
    "%e = f32[128,32]{1,0} all-gather(%x), replica_groups={{0,1}}",
    3 * _X,
  ),
  "to other slices": (
    "%s = (f32[64,32]{1,0}, u32[], token[]) send(%x, %x), is_host_transfer=true\n"
    "  %e = token[] send-done(%s)",
    _X,
  ),
  "from other slices": (
    "%s = (f32[64,32]{1,0}, u32[], token[]) recv(%x), is_host_transfer=true\n"
    "  %e = (f32[64,32]{1,0}, token[]) recv-done(%s)",
    _X,
  ),
  "a sum in shards": (
    "%e = f32[32,32]{1,0} reduce-scatter(%x), replica_groups={{0,1}}",
    1.5 * _X,
  ),
}


@pytest.mark.parametrize(("entry", "moved"), _ENTRIES.values(), ids=_ENTRIES)
def test_beside_a_fusion(entry, moved):
  program = _program(_PLAIN, "f32[1,32]{1,0}", f"  {entry}", _LOOP)
  assert costs.count(hlo.parse(program)).hbm_bytes == moved + 2 * _ROW


def test_what_a_collective_under_way_passes_along_stays():
  body = """%v = f32[128,32]{1,0} all-gather(%p), channel_id=7
  %started = (f32[64,32]{1,0:S(1)}, f32[128,32]{1,0:S(1)}, u32[]) \
custom-call(%v), custom_call_target="AsyncCollectiveStart"
  ROOT %o = (f32[32,16]{1,0}, f32[1,32]{1,0}) tuple(%q, %row)"""
  program = _program(body, "(f32[32,16]{1,0}, f32[1,32]{1,0})")
  # The shard is read; all of them arrive on the chip.
  assert costs.count(hlo.parse(program)).hbm_bytes == _X

"""Products that no dot instruction shows."""

import math

import pytest

from crab_jax.planning import hlo
from crab_jax.planning import product_flops


def test_a_batched_product_written_as_a_convolution():
  """The TPU compiler's form of btnh,bsnh->bnts: most pairs meet padding."""
  left = hlo.Array("bf16", (2, 512, 8, 128), True)
  scope = {
    name: hlo.Instruction(name, "parameter", (left,), (), {}, "")
    for name in ("l", "r")
  }
  text = (
    "(%l, %r), window={size=2x8 stride=1x7 lhs_dilate=2x8},"
    " dim_labels=0b1f_0o1i->01bf"
  )
  result = (hlo.Array("bf16", (2, 8, 512, 512), True),)
  line = hlo.Instruction("c", "convolution", result, ("l", "r"), {}, text)
  assert product_flops.count(line, scope) == 2 * 2 * 8 * 512 * 512 * 128


_SUM = """\
HloModule jit_f

ENTRY %main (x: f32[64], w: f32[64,16]) -> f32[16] {{
  %x = f32[64]{{0}} parameter(0)
  %w = f32[64,16]{{1,0}} parameter(1)
  %zero = f32[] constant(0)
  %wide = f32[64,16]{{1,0}} broadcast(%x), dimensions={{0}}
  %terms = f32[64,16]{{1,0}} {opcode}(%wide, %w)
  %rounded = bf16[64,16]{{1,0}} convert(%terms)
  ROOT %y = f32[16]{{0}} reduce(%rounded, %zero), dimensions={{0}}, to_apply=%add, metadata={{op_name="jit(f)/{name}"}}
}}
"""


@pytest.mark.parametrize(
  ("opcode", "name", "flops"),
  [
    ("multiply", "TD,DF->TF/dot_general", 2 * 64 * 16),
    ("multiply", "reduce_sum", 0),
    ("maximum", "TD,DF->TF/dot_general", 0),
  ],
)
def test_a_product_with_a_vector_written_as_a_sum(opcode, name, flops):
  module = hlo.parse(_SUM.format(opcode=opcode, name=name))
  scope = module.computations["main"]
  assert product_flops.count(scope["y"], scope) == flops


@pytest.mark.parametrize(
  ("name", "products"),
  [
    ("splash_mha_fwd_segmented_residuals.1", 2),
    ("splash_mha_dkv_segmented_no_residuals.1", 5),
    ("another_kernel.1", 0),
  ],
)
@pytest.mark.parametrize("rows", [(), (2,)])  # one row has no axis of rows
def test_a_kernel_of_splash_attention_costs_the_blocks_it_visits(
  name, products, rows
):
  """Blocks of 1024: three of four hold a key that some query may see."""
  shapes = {
    "next": ("s8", (1, 2, 2)),
    "mask": ("s8", (1, 2, 2)),
    "q": ("bf16", (*rows, 28, 2048, 128)),
    "k": ("bf16", (*rows, 4, 2048, 128)),
  }
  scope = {
    key: hlo.Instruction(key, "parameter", (hlo.Array(*a, True),), (), {}, "")
    for key, a in shapes.items()
  }
  line = hlo.Instruction(
    name, "custom-call", scope["q"].arrays, tuple(scope), {}, ""
  )
  block = math.prod(rows) * 28 * (2 * 1024 * 1024 * 128)
  assert product_flops.count(line, scope) == products * 3 * block

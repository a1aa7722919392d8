"""The costs of a mask model's programs, compiled for the CPU of the tests."""

import jax

from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import hlo
from crab_jax.planning import masks
from tests.evaluation.masking import small_sam2
from tests.planning import bounds


def test_costs_of_encoder_and_decoder():
  device = jax.devices()[0]
  lowered = masks.lowered_programs(small_sam2.CONFIG, 2, device)
  chip = chips.of_topology("v5e:1x1")[0]
  compiled = [aot.compile_lowered(program) for program in lowered.values()]
  found = [
    masks._cost(name, program, chip, 2)
    for name, program in zip(lowered, compiled, strict=True)
  ]
  assert [cost.name for cost in found] == ["encode", "decode"]
  for cost, program in zip(found, compiled, strict=True):
    module = hlo.parse(program.text)
    read = bounds.argument_bytes(module)
    # Both bounds of a batch of two: arguments over the bandwidth, products
    # over the peak.
    assert 2 * cost.seconds >= read / chip.hbm_bandwidth > 0
    assert cost.seconds >= cost.flops / chip.flops
    assert cost.peak_bytes >= read
  # The patch embedding alone: 16 x 16 positions of 7 x 7 x 3 pixels.
  assert found[0].flops > 2 * 16 * 16 * 147 * 8
  assert all(cost.fits and cost.seconds > 0 for cost in found)
  told = masks.lines(found)
  assert told[0].startswith("encode: ") and "pictures/s" in told[0]


def test_a_program_that_does_not_fit_is_told():
  chip = chips.of_topology("v5e:1x1")[0]
  program = aot.Program("", {}, 40 * 2**30, 1.0)
  cost = masks._cost("encode", program, chip, 8)
  assert not cost.fits
  assert masks.lines([cost]) == ["encode: 40.00 GiB, does not fit"]

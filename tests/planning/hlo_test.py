"""The reader of compiled programs; `costs_test` reads whole ones."""

import pytest

from crab_jax.planning import hlo
from tests.planning import programs


def test_text_without_a_program_is_refused():
  with pytest.raises(ValueError, match="entry"):
    hlo.parse("HloModule empty\n")


def test_an_unrolled_loop_runs_fewer_times():
  module = hlo.parse(programs.COLLECTIVES)
  assert hlo.trips(module, module.computations["main"]["loop"]) == 4


def test_arrays_on_the_chip_are_no_memory_traffic():
  module = hlo.parse(programs.COLLECTIVES)
  line = module.computations["body"]["start"]
  assert not line.arrays[0].in_hbm
  assert module.computations["body"]["slice"].arrays[0].in_hbm


@pytest.mark.parametrize(
  ("kind", "size"),
  [
    ("pred", 1), ("s4", 0.5), ("u8", 1), ("bf16", 2), ("f32", 4), ("c64", 8),
    ("f8e4m3fn", 1), ("f4e2m1fn", 0.5), ("c128", 16), ("token", 0),
  ],
)  # fmt: skip
def test_every_type_has_its_bytes(kind, size):
  assert hlo.Array(kind, (3, 5), True).bytes == 15 * size

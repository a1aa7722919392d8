"""What the collectives of a compiled program write, for tests of shardings."""

from crab_jax.planning import collectives
from crab_jax.planning import hlo


def arrays(module: hlo.Module) -> list[tuple[str, hlo.Array, str]]:
  """(kind, array, op_name) of every array of numbers that a collective writes.

  Integers and truth values are left out: they are indices and masks.
  """
  found = []
  for scope in module.computations.values():
    for line in scope.values():
      kind = line.opcode.removesuffix("-start")
      if kind in collectives.KINDS:
        found += [(kind, array, line.op_name) for array in line.arrays]
  return [
    moved for moved in found if not moved[1].kind.startswith(("s", "u", "pred"))
  ]

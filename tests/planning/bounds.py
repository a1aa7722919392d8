"""The least that a compiled program can cost, whatever it does in between.

Counted in another way than the package counts: argument by argument.
"""

import pytest

from crab_jax.planning import hlo
from crab_jax.planning import report

_SLICES = ("slice", "dynamic-slice")


def _comes_out(scope, name):
  """Whether a computation returns a value itself, renamed at most."""
  root = list(scope.values())[-1]
  for result in root.operands if root.opcode == "tuple" else (root.name,):
    line = scope[result]
    while line.opcode == "bitcast":
      line = scope[line.operands[0]]
    if line.name == name:
      return True
  return False


def _uses(scope, name):
  """(user, which operand) of a value, past bitcasts."""
  for line in scope.values():
    for index, operand in enumerate(line.operands):
      if operand == name and line.opcode == "bitcast":
        yield from _uses(scope, line.name)
      elif operand == name:
        yield line, index


def _parameter(scope, index):
  for line in scope.values():
    if line.opcode == "parameter" and line.text.startswith(f"({index})"):
      return line.name
  raise AssertionError(f"no parameter {index}")


def _read(module, scope, name, whole):
  """Bytes of a value that are read: slices, where it is only sliced."""
  total = 0.0
  for user, index in _uses(scope, name):
    if user.opcode in _SLICES and index == 0:
      total += sum(array.bytes for array in user.arrays)
    elif user.opcode == "fusion":
      inside = module.computations[user.called["calls"][0]]
      inner = _parameter(inside, index)
      if _comes_out(inside, inner):
        return whole
      total += _read(module, inside, inner, whole)
    elif user.opcode == "tuple" and user is list(scope.values())[-1]:
      continue  # it is handed back
    elif user.opcode != "dynamic-update-slice" or index:
      return whole
  return min(whole, total)


def argument_bytes(module: hlo.Module) -> float:
  """Bytes of the program's arguments that it reads, each once."""
  scope = module.computations[module.entry]
  return sum(
    _read(module, scope, line.name, sum(a.bytes for a in line.arrays))
    for line in scope.values()
    if line.opcode == "parameter"
  )


def check(found: report.Compiled, module: hlo.Module) -> None:
  """Holds a program's costs and times to what physics and mathematics ask."""
  read = argument_bytes(module)
  asked = found.model_flops.total / found.chips
  assert read > 0
  assert found.costs.hbm_bytes >= read
  assert found.costs.flops >= asked * (1 - 1e-9)
  for seconds in (found.times.best, found.times.worst):
    assert seconds >= read / found.chip.hbm_bandwidth
    assert seconds >= asked / found.chip.flops * (1 - 1e-9)
  assert found.times.worst == pytest.approx(
    found.times.compute
    + found.times.memory
    + found.times.network
    + found.times.slices
  )
  if found.slices > 1:
    # Every slice must hear of the gradients of what trains, in float32 or half.
    share = (found.slices - 1) / found.slices
    assert found.costs.from_slices >= share * found.memory.trained
    # And of little else: the weights stay where they are.
    assert found.costs.from_slices < 3 * found.memory.trained

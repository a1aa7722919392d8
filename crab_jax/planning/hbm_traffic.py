"""Bytes that one instruction moves between the chip and its memory.

A fusion reads and writes only what it touches: slices of an operand, or the
update of a result.
"""

import dataclasses

from crab_jax.planning import collectives
from crab_jax.planning import hlo

# Instructions that only name or regroup what is there.
_FREE = {
  "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
  "conditional", "call", "after-all", "iota", "partition-id", "replica-id",
}  # fmt: skip


def _in_hbm(line: hlo.Instruction) -> float:
  return sum(array.bytes for array in line.arrays if array.in_hbm)


def _users(inside: dict[str, hlo.Instruction], name: str) -> list:
  """(what computes with `name` in a fusion, its name there), past bitcasts.

  A collective under way passes through the fusions that it overlaps with: as a
  parameter that only a tuple or a custom call mentions again.
  """
  found = []
  for line in inside.values():
    if name not in line.operands or line.opcode in ("tuple", "custom-call"):
      continue
    if line.opcode == "bitcast":
      found += _users(inside, line.name)
    elif not collectives.kind_of(line):
      found.append((line, name))
  return found


def _parameters(inside: dict[str, hlo.Instruction]) -> list[str]:
  """The names of a computation's parameters, in order."""
  numbered = {
    int(line.text[1 : line.text.index(")")]): line.name
    for line in inside.values()
    if line.opcode == "parameter"
  }
  return [numbered[index] for index in sorted(numbered)]


def _touched(
  whole: float, name: str, inside: dict, module: hlo.Module
) -> float:
  """Bytes of a fusion's operand that it reads: slices, if it only slices."""
  total = 0.0
  for user, known in _users(inside, name):
    if user.opcode == "dynamic-slice":
      total += sum(array.bytes for array in user.arrays)
    elif user.opcode == "fusion":
      deeper = module.computations[user.called["calls"][0]]
      own = _parameters(deeper)[user.operands.index(known)]
      total += _touched(whole, own, deeper, module)
    elif user.opcode != "dynamic-update-slice" or user.operands[0] != known:
      return whole
  return min(whole, total)


def _source(inside: dict, name: str) -> hlo.Instruction:
  """The instruction behind bitcasts."""
  line = inside[name]
  return _source(inside, line.operands[0]) if line.opcode == "bitcast" else line


def _written(line: hlo.Instruction, inside: dict) -> float:
  """Bytes of a fusion's result.

  What is updated in place costs the update; what only passes through, and
  what a collective brings, nothing here.
  """
  root = list(inside.values())[-1]
  names = root.operands if root.opcode == "tuple" else (root.name,)
  total = 0.0
  for name, array in zip(names, line.arrays, strict=False):
    source = _source(inside, name)
    if source.opcode in ("parameter", "custom-call") or collectives.kind_of(
      source
    ):
      continue
    if source.opcode == "dynamic-update-slice":
      array = dataclasses.replace(
        inside[source.operands[1]].arrays[0], in_hbm=array.in_hbm
      )
    total += array.bytes if array.in_hbm else 0
  return total


def _started_bytes(line: hlo.Instruction, operands: list) -> float:
  """Bytes of an asynchronous copy: its result lists operand and state too."""
  target = collectives.target(line)
  read = sum(a.bytes for o in operands for a in o.arrays if a.in_hbm)
  return min(read, target.bytes) + (target.bytes if target.in_hbm else 0)


def count(visit: hlo.Visit, module: hlo.Module) -> float:
  """Bytes that an instruction moves to and from the chip's memory."""
  line, scope = visit.line, visit.scope
  if visit.fused or line.opcode in _FREE or line.opcode.endswith("-done"):
    return 0.0
  if collectives.kind_of(line):
    return 0.0  # see `count`
  operands = [scope[name] for name in line.operands if name in scope]
  if line.opcode.endswith("-start"):
    return _started_bytes(line, operands)
  if line.opcode == "dynamic-slice":
    return 2 * _in_hbm(line)
  if line.opcode == "dynamic-update-slice":
    return 2 * _in_hbm(operands[1])
  if line.opcode != "fusion":
    return sum(map(_in_hbm, operands)) + _in_hbm(line)
  inside = module.computations[line.called["calls"][0]]
  names = _parameters(inside)
  read = sum(
    _touched(_in_hbm(operand), names[index], inside, module)
    for index, operand in enumerate(operands)
  )
  return read + _written(line, inside)

"""Bytes that one instruction moves between the chip and its memory.

An instruction reads every operand and writes its result, whole, but for these:

- A slice reads the slice, and an update in place writes the update.
- A fusion reads of an operand what the instructions inside read of it, and
  writes what they make of its result. Both are followed through bitcasts,
  nested fusions and their tuples; an operand that comes out as it is is copied.
- An array that the compiler keeps on the chip moves nothing.

A gather reads its operand whole: how many different rows it takes is known on
the device alone. So the bytes of a program are at least those of all arguments
that it reads, once.
"""

import math

from crab_jax.planning import collectives
from crab_jax.planning import hlo

# Instructions that only name or regroup what is there, or whose work is that of
# the computations that they call.
_FREE = {
  "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
  "conditional", "call", "after-all", "iota", "partition-id", "replica-id",
  "async-start", "async-update", "opt-barrier", "add-dependency",
}  # fmt: skip
_SLICES = ("slice", "dynamic-slice")
_Computation = dict[str, hlo.Instruction]


def _in_hbm(line: hlo.Instruction) -> float:
  return sum(array.bytes for array in line.arrays if array.in_hbm)


def _bytes(line: hlo.Instruction) -> float:
  return sum(array.bytes for array in line.arrays)


def _is_collective(line: hlo.Instruction) -> bool:
  """True for a collective, and for what starts or ends one under way.

  It stands in the fusions that it overlaps with; `of_collective` counts it.
  """
  under_way = line.opcode == "custom-call" and "AsyncCollective" in line.text
  return under_way or bool(collectives.kind_of(line))


def _root(inside: _Computation) -> hlo.Instruction:
  return list(inside.values())[-1]


def _parameters(inside: _Computation) -> list[str]:
  """The names of a computation's parameters, in order."""
  numbered = {
    int(line.text[1 : line.text.index(")")]): line.name
    for line in inside.values()
    if line.opcode == "parameter"
  }
  return [numbered[index] for index in sorted(numbered)]


def _called(line: hlo.Instruction, module: hlo.Module) -> _Computation:
  """What a fusion computes."""
  return module.computations[line.called["calls"][0]]


def _elements(inside: _Computation) -> tuple[str, ...]:
  """The names of the results of a computation: of a tuple, its elements."""
  root = _root(inside)
  return root.operands if root.opcode == "tuple" else (root.name,)


def _names_of_result(
  fusion: hlo.Instruction, index: int, scope: _Computation, module: hlo.Module
) -> list[str]:
  """How the instructions beside a fusion name one of its results."""
  if _root(_called(fusion, module)).opcode != "tuple":
    return [fusion.name]
  return [
    line.name
    for line in scope.values()
    if line.opcode == "get-tuple-element"
    and line.operands == (fusion.name,)
    and line.attribute("index") == str(index)
  ]


def _follow(
  name: str, inside: _Computation, module: hlo.Module
) -> tuple[float, set[int]]:
  """What becomes of a value inside a fusion.

  Returns:
    Bytes of it that are read, infinite for all of them; and as which results it
    comes out: as it is, or updated in place.
  """
  read = 0.0
  results = {i for i, other in enumerate(_elements(inside)) if other == name}
  for user in inside.values():
    for index, operand in enumerate(user.operands):
      if operand == name:
        more, out = _use(user, index, inside, module)
        read, results = read + more, results | out
  return read, results


def _use(
  user: hlo.Instruction, index: int, inside: _Computation, module: hlo.Module
) -> tuple[float, set[int]]:
  """The share of one user in what `_follow` returns.

  Args:
    user: the instruction.
    index: which of its operands the value is.
    inside: the instructions beside it.
    module: the program.
  """
  nothing: tuple[float, set[int]] = (0.0, set())
  if _is_collective(user) or user is _root(inside) and user.opcode == "tuple":
    return nothing
  if user.opcode == "bitcast" or (
    user.opcode == "dynamic-update-slice" and index == 0
  ):
    return _follow(user.name, inside, module)
  if user.opcode in _SLICES and index == 0:
    return _bytes(user), set()
  # Any other instruction reads its operand whole.
  if user.opcode != "fusion":
    return math.inf, set()
  deeper = _called(user, module)
  read, outputs = _follow(_parameters(deeper)[index], deeper, module)
  results: set[int] = set()
  for output in outputs:
    for name in _names_of_result(user, output, inside, module):
      more, out = _follow(name, inside, module)
      read, results = read + more, results | out
  return read, results


def _origin(
  name: str, inside: _Computation, module: hlo.Module
) -> tuple[str | None, float]:
  """Where a value inside a fusion is from.

  Returns:
    The parameter that it is, as it came or updated in place, None for a value
    that is computed; and the bytes of the updates.
  """
  line = inside[name]
  if line.opcode == "parameter":
    return name, 0.0
  if line.opcode == "bitcast":
    return _origin(line.operands[0], inside, module)
  if line.opcode == "dynamic-update-slice":
    source, updates = _origin(line.operands[0], inside, module)
    return source, updates + _bytes(inside[line.operands[1]])
  index = 0
  if line.opcode == "get-tuple-element":
    index, line = int(line.attribute("index")), inside[line.operands[0]]
  if line.opcode != "fusion":
    return None, 0.0
  deeper = _called(line, module)
  source, updates = _origin(_elements(deeper)[index], deeper, module)
  if source is None:
    return None, 0.0
  operand = line.operands[_parameters(deeper).index(source)]
  outer, more = _origin(operand, inside, module)
  return outer, updates + more


def _fusion(
  line: hlo.Instruction, scope: _Computation, module: hlo.Module
) -> float:
  """Bytes that a fusion moves."""
  inside = _called(line, module)
  wholes = {
    name: _in_hbm(scope[operand]) if operand in scope else 0.0
    for name, operand in zip(_parameters(inside), line.operands, strict=True)
  }
  reads = {name: _follow(name, inside, module)[0] for name in wholes}
  # What passes through beside a collective under way stays where it is.
  copies = not any(map(_is_collective, inside.values()))
  written = 0.0
  for name, array in zip(_elements(inside), line.arrays, strict=False):
    if _is_collective(inside[name]):
      continue
    source, updates = _origin(name, inside, module)
    if source and not updates:
      if not copies:
        continue
      reads[source] = math.inf
    if array.in_hbm:
      written += updates if source and updates else array.bytes
  # What several users read of one operand is fetched once at most.
  return written + sum(min(wholes[name], reads[name]) for name in wholes)


def _started(line: hlo.Instruction, operands: list[hlo.Instruction]) -> float:
  """Bytes of an asynchronous copy or slice, all counted where it starts."""
  targets = collectives.targets(line)
  read = min(sum(map(_in_hbm, operands)), sum(a.bytes for a in targets))
  return read + sum(a.bytes for a in targets if a.in_hbm)


def of_collective(line: hlo.Instruction, scope: _Computation) -> float:
  """Bytes that a collective moves on one chip: at least its operands and results.

  What it passes on to other chips need not enter this one's memory.
  """
  read = sum(_in_hbm(scope[name]) for name in line.operands if name in scope)
  written = collectives.results(line, scope)
  return read + sum(array.bytes for array in written if array.in_hbm)


def count(visit: hlo.Visit, module: hlo.Module) -> float:
  """Bytes that an instruction moves to and from the chip's memory.

  A collective counts nothing here (`of_collective`): it may stand in several
  fusions.
  """
  line, scope = visit.line, visit.scope
  # Inside a fusion nothing passes through memory; "-done" was counted with
  # "-start".
  if visit.fused or line.opcode in _FREE or line.opcode.endswith("-done"):
    return 0.0
  if _is_collective(line) or "AllocateBuffer" in line.text:
    return 0.0
  if line.opcode == "fusion":
    return _fusion(line, scope, module)
  operands = [scope[name] for name in line.operands if name in scope]
  # Between memory and host; their other results are a context and a token.
  if line.opcode == "send":
    return _in_hbm(operands[0])
  if line.opcode == "recv":
    return line.arrays[0].bytes
  if line.opcode.endswith("-start"):
    return _started(line, operands)
  if line.opcode in _SLICES:
    return min(_in_hbm(operands[0]), _bytes(line)) + _in_hbm(line)
  if line.opcode == "dynamic-update-slice":
    update = operands[1]
    written = _bytes(update) if line.arrays[0].in_hbm else 0.0
    return _in_hbm(update) + written
  return sum(map(_in_hbm, operands)) + _in_hbm(line)

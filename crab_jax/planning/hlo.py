"""Reads the text of a compiled program, for what XLA's own totals leave out.

XLA's cost analysis counts the body of a loop once and says nothing of what
travels between chips. `parse` reads the optimised module, `walk` visits every
instruction with the number of times that it runs. What is read of the format
is little: names, shapes, operands, called computations and a few attributes.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

# Types without a size, as those of tokens and opaque handles, have no bits.
_KIND = re.compile(r"(?:bf|f|s|u|c)(\d+)")  # and a suffix: f8e4m3fn
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(
  r"(calls|body|condition|to_apply|true_computation|false_computation"
  r"|branch_computations)=(%[\w.\-]+|\{[^}]*\})"
)


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of a shape: element type, sizes, and where it lies."""

  kind: str
  sizes: tuple[int, ...]
  in_hbm: bool  # False: the compiler keeps it in the memory on the chip

  @property
  def elements(self) -> int:
    return math.prod(self.sizes)

  @property
  def bytes(self) -> float:
    if self.kind == "pred":
      return self.elements
    match = _KIND.match(self.kind)
    return self.elements * int(match.group(1)) / 8 if match else 0.0


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: without the %.
    opcode: "fusion", "while", "all-gather" ...
    arrays: the result; several for a tuple.
    operands: names of the operands.
    called: role ("calls", "body", ...) -> names of computations.
    text: the attributes, as printed.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  called: dict[str, tuple[str, ...]]
  text: str

  def attribute(self, name: str) -> str:
    """The value of `name=...`, "" if there is none."""
    match = re.search(rf"\b{name}=(\{{[^}}]*\}}|[^\s,]+)", self.text)
    return match.group(1) if match else ""

  @functools.cached_property
  def op_name(self) -> str:
    """The path of the jax operation that it comes from."""
    match = re.search(r'op_name="([^"]*)"', self.text)
    return match.group(1) if match else ""


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program: computation name -> instruction name -> instruction."""

  computations: dict[str, dict[str, Instruction]]
  entry: str
  devices: int


def _closing(text: str, start: int) -> int:
  """Index after the bracket that closes the one at `start`."""
  depth = 0
  for index in range(start, len(text)):
    depth += (text[index] in "({") - (text[index] in ")}")
    if not depth:
      return index + 1
  raise ValueError(f"unbalanced brackets in {text[:80]!r}")


def _arrays(text: str) -> tuple[Array, ...]:
  # S(1) in a layout is a memory space: 0, which is not printed, is HBM.
  return tuple(
    Array(
      kind, tuple(int(n) for n in sizes.split(",") if n), "S(" not in layout
    )
    for kind, sizes, layout in _ARRAY.findall(text)
  )


def _instruction(line: str) -> Instruction | None:
  head, found, rest = line.strip().removeprefix("ROOT ").partition(" = ")
  if not found or not head.startswith("%"):
    return None
  # XLA numbers the elements of long tuples in comments: /*index=5*/.
  rest = re.sub(r"/\*.*?\*/", "", rest)
  end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
  shape, rest = rest[:end], rest[end:].strip()
  opening = rest.index("(")
  end = _closing(rest, opening)
  called = {
    role: tuple(_NAME.findall(names))
    for role, names in _CALLED.findall(rest[end:])
  }
  return Instruction(
    name=head[1:],
    opcode=rest[:opening],
    arrays=_arrays(shape),
    operands=tuple(_NAME.findall(rest[opening:end])),
    called=called,
    text=rest[opening:],
  )


def parse(text: str) -> Module:
  """Reads `compiled.as_text()`.

  Raises:
    ValueError: the text holds no entry computation.
  """
  computations: dict[str, dict[str, Instruction]] = {}
  entry, current = "", {}
  for line in text.splitlines():
    if line.endswith("{") and (
      match := re.match(r"(ENTRY )?%([\w.\-]+) ", line)
    ):
      current = computations.setdefault(match.group(2), {})
      entry = match.group(2) if match.group(1) else entry
    elif (found := _instruction(line)) is not None:
      current[found.name] = found
  if not entry:
    raise ValueError("the program has no entry computation")
  head = text.partition("\n")[0]
  match = re.search(r"num_partitions=(\d+)", head)
  return Module(computations, entry, int(match.group(1)) if match else 1)


def _integer(line: Instruction) -> int | None:
  """The value of an integer constant, None for anything else."""
  match = re.match(r"\((\d+)\)", line.text)
  whole = line.opcode == "constant" and line.arrays[0].kind in ("s32", "u32")
  return int(match.group(1)) if match and whole else None


def _step(module: Module, loop: Instruction, counter: str) -> int:
  """What the body adds to the loop's counter: 1, or 2 where it is unrolled."""
  body = list(module.computations[loop.called["body"][0]].values())
  names = {line.name: line for line in body}
  root = body[-1]
  if root.opcode == "tuple" and int(counter) < len(root.operands):
    new = names[root.operands[int(counter)]]
    steps = [_integer(names[n]) for n in new.operands if n in names]
    # Operands of the addition that are constants; the counter itself is none.
    found = [step for step in steps if step]
    if new.opcode == "add" and found:
      return found[0]
  return 1


def trips(module: Module, loop: Instruction) -> int:
  """How often a loop runs whose counter starts at 0, as all of XLA's do here.

  Raises:
    ValueError: the condition is no comparison with a constant.
  """
  if match := re.search(r'known_trip_count":\{"n":"(\d+)"', loop.text):
    return int(match.group(1))
  (name,) = loop.called["condition"]
  limits = [
    value
    for line in _reached(module, name)
    if (value := _integer(line)) is not None
  ]
  if not limits:
    raise ValueError(f"cannot tell how often {loop.name} runs")
  scope = module.computations[name]
  counters = [
    line.attribute("index")
    for line in scope.values()
    if line.opcode == "get-tuple-element"
  ]
  step = _step(module, loop, counters[0]) if len(counters) == 1 else 1
  return -(-max(limits) // step)


def _reached(module: Module, name: str) -> Iterator[Instruction]:
  for line in module.computations[name].values():
    yield line
    for names in line.called.values():
      for called in names:
        yield from _reached(module, called)


def _array_bytes(module: Module, name: str) -> float:
  """Bytes of all arrays that a computation, and those it calls, mention."""
  return sum(
    array.bytes for line in _reached(module, name) for array in line.arrays
  )


@dataclasses.dataclass(frozen=True)
class Visit:
  """An instruction as it runs.

  Attributes:
    line: the instruction.
    scope: the instructions beside it, by name.
    computation: the one that is running; a fusion is part of it.
    times: how often it runs in one call of the program.
    fused: True inside a fusion, where operands are no arrays in memory.
  """

  line: Instruction
  scope: dict[str, Instruction]
  computation: str
  times: int
  fused: bool


def walk(module: Module) -> Iterator[Visit]:
  """Every instruction that runs, loops multiplied.

  Of a conditional the branch with the largest arrays counts, as which one runs
  is known on the device alone.
  """
  yield from _walk(module, module.entry, module.entry, 1, False)


def _walk(module, name, computation, times, fused):
  scope = module.computations[name]
  for line in scope.values():
    yield Visit(line, scope, computation, times, fused)
    if line.opcode == "while":
      (body,) = line.called["body"]
      count = times * trips(module, line)
      yield from _walk(module, body, body, count, fused)
    elif line.opcode == "conditional":
      branches = [n for names in line.called.values() for n in names]
      largest = max(branches, key=lambda name: _array_bytes(module, name))
      yield from _walk(module, largest, largest, times, fused)
    elif line.opcode == "fusion":
      (inside,) = line.called["calls"]
      yield from _walk(module, inside, computation, times, True)
    elif line.opcode in ("call", "async-start"):
      for names in line.called.values():
        for called in names:
          yield from _walk(module, called, computation, times, fused)

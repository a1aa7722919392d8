"""What one call of a compiled program does on one chip.

FLOPs of all products, told apart by where they come from; bytes between the
chip and its memory; bytes that collectives bring to a chip, by kind.
"""

import dataclasses
import math
import re

from crab_jax.planning import hlo

COLLECTIVES = (
  "all-gather",
  "all-reduce",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
# Instructions that only name or regroup what is there.
_FREE = {
  "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
  "conditional", "call", "after-all", "iota", "partition-id", "replica-id",
}  # fmt: skip
# The letters of the adapter's einsums: a rank R, or heads E.
_EINSUM = re.compile(r"[A-Za-z.]*,[A-Za-z.]*->[A-Za-z.]*")


@dataclasses.dataclass(frozen=True)
class Costs:
  """One call, one chip.

  Attributes:
    flops: of all products.
    again: of these, the forward products that the backward pass repeats.
    adapter: of `flops`, those with A, B and the router.
    adapter_again: of `again`, these.
    hbm_bytes: read and written; an array that the compiler keeps on the chip
      does not count.
    received: kind of collective -> bytes that arrive from other chips.
    calls: kind of collective -> how many run.
    largest: kind of collective -> bytes and op_name of the largest one.
  """

  flops: float
  again: float
  adapter: float
  adapter_again: float
  hbm_bytes: float
  received: dict[str, float]
  calls: dict[str, int]
  largest: dict[str, tuple[float, str]]


# Products of a block of scores in the kernels of splash attention: scores and
# weighted sums; scores again, and the gradients of weights, q, k and v.
_SPLASH = {"fwd": 2, "dkv": 5}


def _splash_flops(line: hlo.Instruction, scope: dict) -> float:
  """FLOPs of a kernel of splash attention; 0 for any other kernel.

  The compiler knows nothing of a kernel's inside. Its first operand is the
  table of blocks [1, n, n], of which causality leaves n (n + 1) / 2; the first
  one with heads is q, [.., N, T, H].
  """
  match = re.match(r"splash_m[hq]a_(\w+?)_(segmented|no_)", line.name)
  if match is None:
    return 0.0
  operands = [scope[name].arrays[0].sizes for name in line.operands]
  blocks = operands[0][-1]
  q = next(sizes for sizes in operands[1:] if len(sizes) == 4)
  seen = q[-2] ** 2 * (blocks + 1) / (2 * blocks)
  return _SPLASH[match.group(1)] * 2.0 * seen * q[-1] * math.prod(q[:-2])


def product_flops(line: hlo.Instruction, scope: dict) -> float:
  """FLOPs of a dot, a convolution or a known kernel; 0 for anything else."""
  if line.opcode == "custom-call":
    return _splash_flops(line, scope)
  if line.opcode not in ("dot", "convolution"):
    return 0.0
  left, right = (scope[name].arrays[0].sizes for name in line.operands[:2])
  if line.opcode == "dot":
    dimensions = line.attribute("lhs_contracting_dims").strip("{}")
    contracted = (left[int(n)] for n in dimensions.split(",") if n)
    return 2.0 * line.arrays[0].elements * math.prod(contracted)
  return _convolution(line, left, right)


def _numbers(window: str, name: str, default: int, count: int) -> list[int]:
  match = re.search(rf"\b{name}=([\d_x\-]+)", window)
  if not match:
    return [default] * count
  return [int(part.split("_")[0]) for part in match.group(1).split("x")]


def _convolution(line: hlo.Instruction, left, right) -> float:
  """Counts the pairs of output and kernel places that meet an input.

  The TPU compiler writes batched products as convolutions over dilated inputs,
  most of whose pairs meet padding; these cost nothing.
  """
  window = line.attribute("window")
  labels = line.attribute("dim_labels")
  inputs, kernel, outputs = re.split(r"_|->", labels)
  result = line.arrays[0].sizes
  spatial = [n for n in kernel if n.isdigit()]
  size = _numbers(window, "size", 1, len(spatial))
  stride = _numbers(window, "stride", 1, len(spatial))
  padding = _numbers(window, "pad", 0, len(spatial))
  spread = _numbers(window, "lhs_dilate", 1, len(spatial))
  step = _numbers(window, "rhs_dilate", 1, len(spatial))
  met = 1
  for number in spatial:
    i = int(number)
    extent = (left[inputs.index(number)] - 1) * spread[i] + 1
    met *= sum(
      1
      for place in range(result[outputs.index(number)])
      for tap in range(size[i])
      if 0 <= (at := place * stride[i] - padding[i] + tap * step[i]) < extent
      and at % spread[i] == 0
    )
  features = right[kernel.index("i")] * right[kernel.index("o")]
  groups = int(line.attribute("batch_group_count") or 1)
  return 2.0 * met * features * left[inputs.index("b")] / groups


def is_again(op_name: str) -> bool:
  """True for what rematerialisation computes a second time."""
  return "rematted_computation" in op_name


def is_adapter(op_name: str) -> bool:
  """True for the products of I-LoRA, by the letters of their einsum."""
  return any({"R", "E"} & set(found) for found in _EINSUM.findall(op_name))


def group_size(line: hlo.Instruction, devices: int) -> int:
  """Chips that take part in one collective together."""
  if "source_target_pairs" in line.text:
    return 2
  _, found, text = line.text.partition("replica_groups=")
  if match := re.match(r"mesh\[(.*?)\] \{(.*?)\}", text):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", match.group(1)))
    names = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", match.group(2))
    return math.prod(int(part or sizes[name]) for name, part in names)
  if match := re.match(r"\[(\d+),(\d+)\]<=", text):
    return int(match.group(2))
  if match := re.match(r"\{\{([\d,]+)\}", text):
    return len(match.group(1).split(","))
  return devices


def _target(line: hlo.Instruction) -> hlo.Array:
  """What an asynchronous instruction writes: it lists its operands first."""
  copies = line.opcode == "copy-start"
  return line.arrays[0 if copies else len(line.operands)]


def received_bytes(
  kind: str, line: hlo.Instruction, scope: dict, devices: int
) -> float:
  """Bytes that arrive at one chip, by the usual ring algorithms."""
  group = group_size(line, devices)
  share = (group - 1) / group
  result = sum(array.bytes for array in line.arrays)
  if line.opcode.endswith("-start"):
    result = _target(line).bytes
  if kind == "all-reduce":
    return (
      2
      * share
      * sum(
        array.bytes for name in line.operands for array in scope[name].arrays
      )
    )
  if kind == "reduce-scatter":
    return share * group * result
  return (1.0 if kind == "collective-permute" else share) * result


def _in_hbm(line: hlo.Instruction) -> float:
  return sum(array.bytes for array in line.arrays if array.in_hbm)


def _kind(line: hlo.Instruction) -> str:
  """The kind of a collective, "" for anything else."""
  kind = line.opcode.removesuffix("-start")
  return kind if kind in COLLECTIVES else ""


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
    elif not _kind(line):
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
    if source.opcode in ("parameter", "custom-call") or _kind(source):
      continue
    if source.opcode == "dynamic-update-slice":
      array = dataclasses.replace(
        inside[source.operands[1]].arrays[0], in_hbm=array.in_hbm
      )
    total += array.bytes if array.in_hbm else 0
  return total


def _started_bytes(line: hlo.Instruction, operands: list) -> float:
  """Bytes of an asynchronous copy: its result lists operand and state too."""
  target = _target(line)
  read = sum(a.bytes for o in operands for a in o.arrays if a.in_hbm)
  return min(read, target.bytes) + (target.bytes if target.in_hbm else 0)


def _hbm_bytes(visit: hlo.Visit, module: hlo.Module) -> float:
  """Bytes that an instruction moves to and from the chip's memory."""
  line, scope = visit.line, visit.scope
  if visit.fused or line.opcode in _FREE or line.opcode.endswith("-done"):
    return 0.0
  if _kind(line):
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


def _begins(line: hlo.Instruction, scope: dict) -> bool:
  """True for a collective in the fusion that starts it and does not wait."""
  return any(
    line.name in other.operands and "AsyncCollectiveStart" in other.text
    for other in scope.values()
    if other.opcode == "custom-call"
  )


def _begun(module: hlo.Module) -> set[str]:
  """Channels of the collectives that have such a fusion.

  The rest of them is spread over fusions with products, also over those of a
  loop that runs meanwhile: only the one that starts says how often they run.
  """
  return {
    line.attribute("channel_id")
    for scope in module.computations.values()
    for line in scope.values()
    if _kind(line) and _begins(line, scope)
  }


def count(module: hlo.Module) -> Costs:
  """Adds up a program."""
  begun = _begun(module)
  flops = again = adapter = adapter_again = moved = 0.0
  received = dict.fromkeys(COLLECTIVES, 0.0)
  calls = dict.fromkeys(COLLECTIVES, 0)
  largest = {kind: (0.0, "") for kind in COLLECTIVES}
  seen = set()
  for visit in hlo.walk(module):
    line = visit.line
    moved += visit.times * _hbm_bytes(visit, module)
    work = visit.times * product_flops(line, visit.scope)
    flops += work
    again += work * is_again(line.op_name)
    adapter += work * is_adapter(line.op_name)
    adapter_again += work * is_adapter(line.op_name) * is_again(line.op_name)
    if not (kind := _kind(line)):
      continue
    # One that overlaps products stands in several fusions, on one channel.
    number = line.attribute("channel_id")
    if number in begun and not _begins(line, visit.scope):
      continue
    channel = (visit.place, number or line.name)
    if channel in seen:
      continue
    seen.add(channel)
    here = received_bytes(kind, line, visit.scope, module.devices)
    received[kind] += visit.times * here
    moved += visit.times * here  # into memory, and as much out of it elsewhere
    calls[kind] += visit.times
    largest[kind] = max(largest[kind], (here, line.op_name))
  return Costs(
    flops, again, adapter, adapter_again, moved, received, calls, largest
  )

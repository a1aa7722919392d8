"""The collectives of a compiled program: which they are, what they bring.

Where there are several slices, a program is that of one of them. A collective
between slices goes through the hosts: the compiler writes a pair of `send` and
`recv` for it, whose attributes say what the runtime of the hosts (megascale) makes
of it, and for which slices ("{1,2}x{0:3}": slices 1 and 2, chips 0 to 3 of each).
"""

import math
import re

from crab_jax.planning import hlo

KINDS = (
  "all-gather",
  "all-reduce",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)


def kind_of(line: hlo.Instruction) -> str:
  """The kind of a collective, "" for anything else."""
  # The bytes count where a collective starts; its "-done" only waits.
  kind = line.opcode.removesuffix("-start")
  return kind if kind in KINDS else ""


def group_size(line: hlo.Instruction, devices: int) -> int:
  """Chips that take part in one collective together."""
  # A permutation: each chip sends to one and hears from one.
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


def targets(line: hlo.Instruction) -> tuple[hlo.Array, ...]:
  """What an asynchronous instruction writes.

  It lists its operands first and its state last; a copy its operand second, and
  an all-reduce no operands.
  """
  count = len(line.operands)
  if line.opcode == "copy-start":
    return line.arrays[:1]
  if kind_of(line):
    return line.arrays[count : 2 * count] or line.arrays
  return line.arrays[count : count + 1]


def received_bytes(
  kind: str, line: hlo.Instruction, scope: dict, devices: int
) -> float:
  """Bytes that arrive at one chip, by the usual ring algorithms."""
  group = group_size(line, devices)
  share = (group - 1) / group
  arrays = targets(line) if line.opcode.endswith("-start") else line.arrays
  result = sum(array.bytes for array in arrays)
  # A ring reduces, then gathers: each operand passes twice.
  if kind == "all-reduce":
    return (
      2
      * share
      * sum(
        array.bytes for name in line.operands for array in scope[name].arrays
      )
    )
  if kind == "reduce-scatter":
    # A result is one of `group` parts of what is summed.
    return share * group * result
  return (1.0 if kind == "collective-permute" else share) * result


def _slices(line: hlo.Instruction) -> int:
  """How many slices take part in a transfer between slices."""
  (text,) = re.findall(r'_xla_megascale_target="\{([\d,:]+)\}', line.text)
  count = 0
  for part in text.split(","):
    first, _, last = part.partition(":")
    count += int(last or first) - int(first) + 1
  return count


def from_slices_bytes(line: hlo.Instruction) -> float:
  """Bytes that arrive at one chip from other slices; 0 if it brings none."""
  if line.opcode != "recv" or "xla_megascale_runtime" not in line.text:
    return 0.0
  whole, slices = line.arrays[0].bytes, _slices(line)
  share = (slices - 1) / slices
  # A sum passes a ring twice, as that of an all-reduce.
  return whole * share * (2 if '_type="ALL_REDUCE"' in line.text else 1)


def start_of(line: hlo.Instruction, scope: dict) -> hlo.Instruction | None:
  """What starts a collective in a fusion that does not wait for it."""
  return next(
    (
      other
      for other in scope.values()
      if other.opcode == "custom-call"
      and "AsyncCollectiveStart" in other.text
      and line.name in other.operands
    ),
    None,
  )


def begins(line: hlo.Instruction, scope: dict) -> bool:
  """True for a collective in the fusion that starts it and does not wait."""
  return start_of(line, scope) is not None


def results(line: hlo.Instruction, scope: dict) -> tuple[hlo.Array, ...]:
  """What a collective writes, with the memory that it writes to.

  Inside a fusion only what starts it says which memory that is.
  """
  if line.opcode.endswith("-start"):
    return targets(line)
  if start := start_of(line, scope):
    count = len(line.operands)
    return start.arrays[count : 2 * count]
  return line.arrays


def begun(module: hlo.Module) -> set[str]:
  """Channels of the collectives that have such a fusion.

  The rest of them is spread over fusions with products, also over those of a
  loop that runs meanwhile: only the one that starts says how often they run.
  """
  return {
    line.attribute("channel_id")
    for scope in module.computations.values()
    for line in scope.values()
    if kind_of(line) and begins(line, scope)
  }

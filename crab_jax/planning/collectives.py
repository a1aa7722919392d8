"""The collectives of a compiled program: which they are, what they bring."""

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
  kind = line.opcode.removesuffix("-start")
  return kind if kind in KINDS else ""


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


def target(line: hlo.Instruction) -> hlo.Array:
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
    result = target(line).bytes
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


def begins(line: hlo.Instruction, scope: dict) -> bool:
  """True for a collective in the fusion that starts it and does not wait."""
  return any(
    line.name in other.operands and "AsyncCollectiveStart" in other.text
    for other in scope.values()
    if other.opcode == "custom-call"
  )


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

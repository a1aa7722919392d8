"""FLOPs of one instruction of a compiled program: its products."""

import math
import re

from crab_jax.planning import hlo

# Products of a block of scores in the kernels of splash attention: scores and
# weighted sums; scores again, and the gradients of weights, q, k and v.
_SPLASH = {"fwd": 2, "dkv": 5}


def _splash_flops(line: hlo.Instruction, scope: dict) -> float:
  """FLOPs of a kernel of splash attention; 0 for any other kernel.

  The compiler knows nothing of a kernel's inside. Its first operand is the
  table of blocks [1, n, n], of which causality leaves n (n + 1) / 2; the first
  one that is no table of integers is q, [.., N, T, H].
  """
  match = re.match(r"splash_m[hq]a_(\w+?)_(segmented|no_)", line.name)
  if match is None:
    return 0.0
  operands = [scope[name].arrays[0] for name in line.operands]
  blocks = operands[0].sizes[-1]
  q = next(x.sizes for x in operands if x.kind[0] not in "su")
  seen = q[-2] ** 2 * (blocks + 1) / (2 * blocks)
  return _SPLASH[match.group(1)] * 2.0 * seen * q[-1] * math.prod(q[:-2])


def _sum_flops(line: hlo.Instruction, scope: dict) -> float:
  """FLOPs of a sum of products; 0 for any other sum.

  The TPU compiler writes products with a vector, as those of one row, so.
  """
  source = scope[line.operands[0]]
  terms = source.arrays[0].elements
  while source.opcode in ("convert", "bitcast"):
    source = scope[source.operands[0]]
  is_product = line.op_name.endswith("dot_general")
  return 2.0 * terms if is_product and source.opcode == "multiply" else 0.0


def count(line: hlo.Instruction, scope: dict) -> float:
  """FLOPs of a product, as whatever it is written, or of a known kernel.

  Returns:
    FLOPs of one run; 0 for anything else.
  """
  if line.opcode == "custom-call":
    return _splash_flops(line, scope)
  if line.opcode == "reduce":
    return _sum_flops(line, scope)
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
  """Counts the pairs of output and kernel positions that meet an input.

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
      for position in range(result[outputs.index(number)])
      for tap in range(size[i])
      if 0 <= (at := position * stride[i] - padding[i] + tap * step[i]) < extent
      and at % spread[i] == 0
    )
  features = right[kernel.index("i")] * right[kernel.index("o")]
  groups = int(line.attribute("batch_group_count") or 1)
  return 2.0 * met * features * left[inputs.index("b")] / groups

"""What one call of a compiled program does on one chip.

FLOPs of all products, by where they come from; bytes between the chip and its
memory; bytes that collectives bring to a chip, by kind, and from other slices.
"""

import dataclasses
import re

from crab_jax.planning import collectives
from crab_jax.planning import hbm_traffic
from crab_jax.planning import hlo
from crab_jax.planning import product_flops

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
    received: kind of collective -> bytes that arrive from other chips of the
      slice.
    calls: kind of collective -> how many run.
    largest: kind of collective -> bytes and op_name of the largest one.
    from_slices: bytes that arrive from other slices.
    slice_calls: how many transfers bring them.
  """

  flops: float
  again: float
  adapter: float
  adapter_again: float
  hbm_bytes: float
  received: dict[str, float]
  calls: dict[str, int]
  largest: dict[str, tuple[float, str]]
  from_slices: float
  slice_calls: int


def is_again(op_name: str) -> bool:
  """True for what rematerialisation computes a second time."""
  return "rematted_computation" in op_name


def is_adapter(op_name: str) -> bool:
  """True for the products of I-LoRA, by the letters of their einsum."""
  return any({"R", "E"} & set(found) for found in _EINSUM.findall(op_name))


def count(module: hlo.Module) -> Costs:
  """Adds up a program."""
  begun = collectives.begun(module)
  flops = again = adapter = adapter_again = moved = from_slices = 0.0
  slice_calls = 0
  received = dict.fromkeys(collectives.KINDS, 0.0)
  calls = dict.fromkeys(collectives.KINDS, 0)
  largest = {kind: (0.0, "") for kind in collectives.KINDS}
  seen = set()
  for visit in hlo.walk(module):
    line = visit.line
    moved += visit.times * hbm_traffic.count(visit, module)
    work = visit.times * product_flops.count(line, visit.scope)
    flops += work
    again += work * is_again(line.op_name)
    adapter += work * is_adapter(line.op_name)
    adapter_again += work * is_adapter(line.op_name) * is_again(line.op_name)
    if arriving := collectives.from_slices_bytes(line):
      from_slices += visit.times * arriving
      slice_calls += visit.times
    if not (kind := collectives.kind_of(line)):
      continue
    # One that overlaps products stands in several fusions, on one channel.
    number = line.attribute("channel_id")
    if number in begun and not collectives.begins(line, visit.scope):
      continue
    channel = (visit.computation, number or line.name)
    if channel in seen:
      continue
    seen.add(channel)
    here = collectives.received_bytes(kind, line, visit.scope, module.devices)
    received[kind] += visit.times * here
    moved += visit.times * hbm_traffic.of_collective(line, visit.scope)
    calls[kind] += visit.times
    largest[kind] = max(largest[kind], (here, line.op_name))
  return Costs(
    flops,
    again,
    adapter,
    adapter_again,
    moved,
    received,
    calls,
    largest,
    from_slices,
    slice_calls,
  )

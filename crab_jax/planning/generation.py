"""What generation costs on one host of a TPU slice: the prompts, and a token.

Every process answers other clips on the devices of its own host, and what runs
there is two programs: `prefill` takes a batch of prompts to their first tokens,
`decode` every row one token further. Both are compiled as
`paradigms.generate` runs them, the second for the shardings of the first one's
results.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from crab_jax import array_types
from crab_jax import configs
from crab_jax.models import ilora
from crab_jax.paradigms import network
from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import costs
from crab_jax.planning import flops
from crab_jax.planning import generation_programs as programs_lib
from crab_jax.planning import hlo
from crab_jax.planning import report
from crab_jax.training import generation_sharding

PREFILL, DECODE = "prefill", "decode"


@dataclasses.dataclass(frozen=True)
class Phase(report.Compiled):
  """One of the two programs on one host; `rows` are prompts."""

  program: str  # PREFILL or DECODE
  hosts: int  # of the slice
  new_tokens: int  # room for an answer


def _is_adapter(keys: tuple) -> bool:
  return any(ilora.is_leaf(str(getattr(key, "key", ""))) for key in keys)


def memory_of(
  program: aot.Program, chip: chips.Chip, params: Any, **more: float
) -> report.Memory:
  """The memory of a program that reads `params`; `more` is of `Memory`."""
  parts: dict[bool, list[Any]] = {True: [], False: []}
  for keys, leaf in jax.tree_util.tree_leaves_with_path(params):
    parts[_is_adapter(keys)].append(leaf)
  return report.Memory(
    frozen=report.shard_bytes(parts[False]),
    trained=report.shard_bytes(parts[True]),
    optimizer=0.0,
    temporaries=program.memory.get("temporaries", 0),
    peak=program.peak_bytes + more.get("held", 0.0),
    hbm=chip.hbm_bytes,
    **more,
  )


def beside(params: Any, model: configs.Model) -> float:
  """Bytes of the weights that lie beside those that `decode` reads.

  The encoders, and the stack that the layers of `split_layers` are copies of.
  """
  stack = params["model"]["layers"]
  encoders = [params[path] for path in network.of(model).paths]
  return report.shard_bytes((stack, encoders))


def phase(
  name: str,
  program: aot.Program,
  memory: report.Memory,
  work: flops.Count,
  **about: Any,
) -> Phase:
  """A phase, with what the compiled program costs; `about` is of `Phase`."""
  module = hlo.parse(program.text) if program.text else None
  found = costs.count(module) if module else None
  return Phase(
    program=name,
    memory=memory,
    model_flops=work,
    costs=found,
    times=report.times(found, about["chip"]) if found else None,
    compile_seconds=program.seconds,
    **about,
  )


def plan(
  model: configs.Model,
  mesh: configs.Mesh,
  topology: str,
  prompts: programs_lib.Prompts,
  wanted: Sequence[str] = (PREFILL, DECODE),
) -> list[Phase]:
  """Compiles the programs that are wanted; the second needs the first to fit.

  Args:
    model: the network, with its adapter.
    mesh: as of training; a host's part of it is what counts.
    topology: the slice.
    prompts: shapes of a batch.
    wanted: of PREFILL and DECODE.

  Raises:
    UserError: libtpu is missing, or the model does not fit the devices.
  """
  host = chips.host_of(topology)
  chip, count = chips.of_topology(host)
  devices = aot.devices(host)
  layout = generation_sharding.local(mesh, model, devices)
  rows = layout.whole_rows(prompts.rows)
  prompts = dataclasses.replace(prompts, rows=rows)
  programs = programs_lib.Programs(model, layout, devices, prompts)
  sides = dict(layout.mesh.shape) if layout.mesh else {"data": 1}
  shape = rows_of(programs.batch)
  about = {
    "topology": host,
    "slices": 1,
    "chip": chip,
    "chips": count,
    "mesh": sides,
    "rows": shape,
    "hosts": mesh.slices * chips.of_topology(topology)[1] // count,
    "new_tokens": prompts.new_tokens,
  }
  # Compiled in any case: only then it is known how the state is sharded that a
  # step reads.
  first = programs.prefill()
  # The devices of a tensor group hold the same prompts.
  size = bytes_of(programs.batch) / (count // sides.get("tensor", 1))
  memory = memory_of(first, chip, programs.params, batch=size)
  work = flops.prefill(model, shape)
  found = [phase(PREFILL, first, memory, work, **about)]
  if DECODE in wanted and first.results is not None:
    program, params, state = programs.decode(first.results)
    cache = report.shard_bytes((state.past, state.cache))
    held = beside(programs.params, model)
    memory = memory_of(program, chip, params, batch=0.0, cache=cache, held=held)
    # On average half of the new tokens are there.
    work = flops.decode(model, rows, shape.tokens + prompts.new_tokens / 2)
    found.append(phase(DECODE, program, memory, work, **about))
  return [made for made in found if made.program in wanted or not made.costs]


def rows_of(batch: array_types.Batch) -> configs.Rows:
  """The shape of a batch of prompts."""
  rows, tokens = batch["tokens"].shape
  pairs, units = batch["frames"].shape[1], batch["mel"].shape[1]
  return configs.Rows(rows, tokens, pairs, units, supervised=1, samples=1)


def bytes_of(tree: Any) -> float:
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def answers_per_second(phases: Sequence[Phase]) -> tuple[float, float] | None:
  """Of the whole slice, at worst and at best; None: a phase is not there.

  Every row is decoded to its end, as the longest of a batch may be.
  """
  times = {phase.program: phase.times for phase in phases}
  prefill, decode = times.get(PREFILL), times.get(DECODE)
  if prefill is None or decode is None:
    return None
  steps = phases[0].new_tokens - 1  # the prefill gives the first token
  answers = phases[0].rows.rows * phases[0].hosts
  worst = prefill.worst + steps * decode.worst
  best = prefill.best + steps * decode.best
  return answers / worst, answers / best


def as_json(phases: Sequence[Phase]) -> dict[str, Any]:
  """The phases as JSON values, by name."""
  found = {}
  for phase in phases:
    values = dataclasses.asdict(phase) | {"fits": phase.memory.fits}
    if phase.times:
      values["executed_over_model"] = report.executed_over_model(phase)
      values["estimates"] = {
        "note": "estimates from the chip's peaks, not measurements",
        "best": {"seconds": phase.times.best},
        "worst": {"seconds": phase.times.worst},
      }
    found[phase.program] = values
  if rates := answers_per_second(phases):
    found["answers_per_second"] = {"worst": rates[0], "best": rates[1]}
  return found

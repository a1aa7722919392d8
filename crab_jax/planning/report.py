"""What a step costs on a TPU slice: memory, FLOPs, traffic, estimated time.

Memory and FLOPs are read from the compiled program. Times are estimates: the
program's FLOPs, memory traffic and collectives, in a slice and between slices, each
divided by the chip's peak. `best` lets all of them overlap, `worst` none; a real run
may be slower than both, as no peak is ever reached.
"""

import dataclasses
import math
from typing import Any

import jax

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.configs import schedule
from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import costs
from crab_jax.planning import flops
from crab_jax.planning import hlo
from crab_jax.training import meshed


@dataclasses.dataclass(frozen=True)
class Job:
  """How much there is to train on; figures of the official recipe.

  Attributes:
    samples: of one epoch.
    epochs: passes over them.
    sample_tokens: mean tokens of a sample; an assumption, as the lengths of
      the real annotations are not known here.
    useful: share of a row's tokens that are no padding; what packing reaches.
  """

  samples: int = 222_000
  epochs: int = 5
  sample_tokens: float = 600.0
  useful: float = 0.95


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one chip."""

  frozen: float
  trained: float  # float32 masters of what trains
  optimizer: float
  batch: float
  temporaries: float
  peak: float
  hbm: float
  # Of generation only:
  cache: float = 0.0  # keys and values
  held: float = 0.0  # weights that the program does not read

  @property
  def fits(self) -> bool:
    return self.peak <= self.hbm


@dataclasses.dataclass(frozen=True)
class Times:
  """Estimated seconds of one step; 0 where nothing was compiled."""

  compute: float
  memory: float
  network: float  # within a slice
  slices: float = 0.0  # the network between slices

  @property
  def best(self) -> float:
    return max(self.compute, self.memory, self.network, self.slices)

  @property
  def worst(self) -> float:
    return self.compute + self.memory + self.network + self.slices


@dataclasses.dataclass(frozen=True)
class Compiled:
  """One program on one slice, or on several of a kind."""

  topology: str  # of a slice
  slices: int
  chip: chips.Chip
  chips: int  # of all slices
  mesh: dict[str, int]
  rows: configs.Rows
  memory: Memory
  model_flops: flops.Count  # all chips
  costs: costs.Costs | None  # one chip; None: it does not fit
  times: Times | None
  compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Plan(Compiled):
  """The train step of one configuration on one slice."""

  remat: str  # of the decoder; "decoder/towers" where they differ


def shard_bytes(tree: Any) -> float:
  """Bytes of one device's part of a tree of shapes with shardings."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def _memory(
  runner: meshed.MeshRunner,
  trains: schedule.Trains,
  batch: dict[str, Any],
  program: aot.Program,
  chip: chips.Chip,
) -> Memory:
  state, frozen = runner.abstract(trains)
  # The devices of a tensor group hold the same rows.
  ways = runner.mesh.size // runner.mesh.shape["tensor"]
  total = sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in batch.values()
  )
  return Memory(
    frozen=shard_bytes(frozen),
    trained=shard_bytes(state.params),
    optimizer=shard_bytes(state.opt_state),
    batch=total / ways,
    temporaries=program.memory.get("temporaries", 0),
    peak=program.peak_bytes,
    hbm=chip.hbm_bytes,
  )


def _remat(model: configs.Model) -> str:
  towers = model.tower_remat or model.remat
  return model.remat if towers == model.remat else f"{model.remat}/{towers}"


def times(found: costs.Costs, chip: chips.Chip) -> Times:
  """The costs over the chip's peaks."""
  return Times(
    compute=found.flops / chip.flops,
    memory=found.hbm_bytes / chip.hbm_bandwidth,
    network=sum(found.received.values()) / chip.ici_bandwidth,
    slices=found.from_slices / chip.dcn_bandwidth,
  )


def plan(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  topology: str,
) -> Plan:
  """Compiles a stage's step for `mesh.slices` slices and adds up its costs.

  Raises:
    UserError: libtpu is missing, or mesh, rows and slice do not fit together.
  """
  return compiled(model, stage, mesh, topology)[0]


def compiled(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  topology: str,
) -> tuple[Plan, hlo.Module | None]:
  """`plan`, and the program it was read from; None if it does not fit."""
  chip, count = chips.of_topology(topology)
  devices = aot.devices(topology, mesh.slices)
  runner = aot.runner(model, stage, mesh, devices)
  batch = batch_lib.abstract(model, stage.rows)
  program = aot.compile_lowered(runner.lower(stage.trains, batch))
  module = hlo.parse(program.text) if program.text else None
  found = costs.count(module) if module else None
  made = Plan(
    topology=topology,
    slices=mesh.slices,
    chip=chip,
    chips=count * mesh.slices,
    mesh=dict(runner.mesh.shape),
    rows=stage.rows,
    memory=_memory(runner, stage.trains, batch, program, chip),
    model_flops=flops.train_step(model, stage.rows, stage.trains),
    costs=found,
    times=times(found, chip) if found else None,
    compile_seconds=program.seconds,
    remat=_remat(model),
  )
  return made, module


def executed_over_model(found: Compiled) -> float:
  """FLOPs that run, over FLOPs that the mathematics asks for.

  Raises:
    ValueError: the program does not fit, so nothing is known of it.
  """
  if found.costs is None:
    raise ValueError("a program that does not fit has no costs")
  # The program's are of one chip, the model's of all.
  return found.costs.flops * found.chips / found.model_flops.total


def rates(found: Plan, seconds: float, job: Job) -> dict[str, float]:
  """What a step time means for the whole job."""
  tokens = found.rows.rows * found.rows.tokens * job.useful / seconds
  samples = tokens / job.sample_tokens
  hours = job.samples * job.epochs / samples / 3600
  peak = found.chips * found.chip.flops
  return {
    "step_seconds": seconds,
    "tokens_per_second": tokens,
    "samples_per_second": samples,
    "model_flops_utilisation": found.model_flops.total / (seconds * peak),
    "hours": hours,
    "chip_hours": hours * found.chips,
  }


def as_json(found: Plan, job: Job) -> dict[str, Any]:
  """A plan as JSON values; estimates stand apart, with what they assume."""
  values = dataclasses.asdict(found)
  values["fits"] = found.memory.fits
  if found.times:
    values["executed_over_model"] = executed_over_model(found)
    values["estimates"] = {
      "note": "estimates from the chip's peaks, not measurements",
      "assumptions": dataclasses.asdict(job),
      "best": rates(found, found.times.best, job),
      "worst": rates(found, found.times.worst, job),
    }
  return values

"""Times the train step on the devices that are there, with random weights."""

import dataclasses
import platform
import resource
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.planning import chips
from crab_jax.planning import flops
from crab_jax.training import compilation
from crab_jax.training import losses
from crab_jax.training import optim
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib


@dataclasses.dataclass(frozen=True)
class Timing:
  """What was measured.

  Attributes:
    device: kind of the devices.
    devices: how many.
    strategy: of the mesh.
    first_seconds: the first step, which traces and compiles.
    compile_seconds: of them, those of the compiler.
    step_seconds: median of the steps after the warm-up.
    spread: slowest over fastest of them.
    tokens_per_second: all positions of the rows.
    rows_per_second: packed rows.
    model_flops: of a step, see `flops`.
    utilisation: model FLOP/s over the devices' peak; None: peak unknown.
    peak_bytes: of the device's memory (on CPU: of this process).
    loss: of the last step, to show that it is finite.
  """

  device: str
  devices: int
  strategy: str
  first_seconds: float
  compile_seconds: float
  step_seconds: float
  spread: float
  tokens_per_second: float
  rows_per_second: float
  model_flops: float
  utilisation: float | None
  peak_bytes: int
  loss: float


def peak_bytes() -> int:
  """The most memory that was in use: of a device, on CPU of the process."""
  found = jax.local_devices()[0].memory_stats()
  if found and "peak_bytes_in_use" in found:
    return int(found["peak_bytes_in_use"])
  used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  # `ru_maxrss` is bytes on macOS and KiB on Linux.
  return used if sys.platform == "darwin" else used * 1024


def begin(model: configs.Model, stage: configs.Stage, mesh: configs.Mesh):
  """The runner, and its state and frozen leaves with random weights."""
  model = state_lib.stage_model(model, stage.trains)
  optimizer = optim.optimizer(stage.optimizer, stage.steps)
  runner = runner_lib.build(
    stage.rows.rows,
    stage.accumulate,
    mesh=mesh,
    model=model,
    likelihood=losses.likelihood(model),
    optimizer=optimizer,
    tasks=len(tasks.Tasks()),
  )
  key = jax.random.key(0)
  made = runner.init_sharded(
    lambda key: state_lib.init(key, model, optimizer, stage.trains), key
  )
  return runner, *map(runner.shard, made)


def _local_rows(batch: array_types.Batch) -> array_types.Batch:
  """This host's share of the rows."""
  count = batch["tokens"].shape[0] // jax.process_count()
  first = jax.process_index() * count
  return {name: leaf[first : first + count] for name, leaf in batch.items()}


def measure(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  steps: int,
  warmup: int = 2,
) -> Timing:
  """Runs steps of a stage on one batch.

  Args:
    model: the network.
    stage: what trains, and the rows of a step.
    mesh: how the step is spread over the devices.
    steps: steps that are timed, each on its own.
    warmup: steps before them; the first compiles.

  Raises:
    UserError: rows and devices do not fit together, or memory runs out.
  """
  key = jax.random.key(0)
  try:
    runner, state, frozen = begin(model, stage, mesh)
    batch = runner.shard_batch(_local_rows(batch_lib.random(model, stage.rows)))
    seconds, loss = [], 0.0
    with compilation.durations() as compiling:
      for _ in range(warmup + steps):
        start = time.perf_counter()
        state, sums = runner.step(state, frozen, batch, key)
        loss = float(np.ravel(np.asarray(sums["loss"].addressable_data(0)))[0])
        # A call returns when the work is queued: the clock must wait for its
        # end.
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - start)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise errors.UserError(
      f"the device's memory is too small for Rows.rows={stage.rows.rows}:"
      f" {str(error).splitlines()[0]}"
    ) from error
  first = seconds[0], sum(compiling)
  return _timing(model, stage, mesh, first, seconds[warmup:], loss)


def _timing(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  first: tuple[float, float],
  seconds: list[float],
  loss: float,
) -> Timing:
  kind, count = jax.devices()[0].device_kind, jax.device_count()
  chip = chips.of_kind(kind)
  median = statistics.median(seconds)
  work = flops.train_step(
    state_lib.stage_model(model, stage.trains), stage.rows, stage.trains
  ).total
  peak = chip and chip.flops * count
  if model.compute_dtype != "bfloat16":
    peak = None  # the peaks are those of bfloat16
  return Timing(
    device=kind if jax.default_backend() != "cpu" else platform.machine(),
    devices=count,
    strategy=mesh.strategy,
    first_seconds=first[0],
    compile_seconds=first[1],
    step_seconds=median,
    spread=max(seconds) / min(seconds),
    tokens_per_second=stage.rows.rows * stage.rows.tokens / median,
    rows_per_second=stage.rows.rows / median,
    model_flops=work,
    utilisation=work / median / peak if peak else None,
    peak_bytes=peak_bytes(),
    loss=loss,
  )


def lines(found: Timing) -> list[str]:
  """The measurement, for people."""
  share = (
    "of an unknown peak"
    if found.utilisation is None
    else f"{found.utilisation:.1%} of the peak"
  )
  return [
    f"{found.devices} x {found.device}, strategy {found.strategy}",
    f"  first step            {found.first_seconds:10.2f} s, of which"
    f" {found.compile_seconds:.2f} s to compile",
    f"  step                  {found.step_seconds:10.4f} s (median; slowest"
    f" {found.spread:.2f} times the fastest)",
    f"  tokens                {found.tokens_per_second:10,.0f} a second",
    f"  rows                  {found.rows_per_second:10.2f} a second",
    f"  model FLOPs           {found.model_flops:10.3g} a step; {share}",
    f"  peak memory           {found.peak_bytes / 2**30:10.2f} GiB",
    f"  loss                  {found.loss:10.4f}",
  ]


def as_json(found: Timing) -> dict[str, Any]:
  """The measurement as JSON values."""
  return dataclasses.asdict(found)

"""Compiles the train step for TPUs that are not there.

libtpu holds the compiler of every TPU generation and needs no chip. What is
compiled is the step of the trainer itself, for shapes and shardings alone: no
weight is ever made.
"""

import dataclasses
import importlib.util
import os
import re
import time
from typing import Any

import jax

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.planning import chips
from crab_jax.training import losses
from crab_jax.training import meshed
from crab_jax.training import optim
from crab_jax.training import state as state_lib

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclasses.dataclass(frozen=True)
class Program:
  """What the compiler said.

  Attributes:
    text: the optimised program; "" if it does not fit the chip's memory.
    memory: name -> bytes on one chip, as the compiler reports them.
    peak_bytes: of arguments, results and temporaries together, on one chip.
    seconds: that compiling took.
    results: the shardings of what it returns; None if it does not fit.
  """

  text: str
  memory: dict[str, int]
  peak_bytes: float
  seconds: float
  results: Any = None


def devices(topology: str, slices: int = 1) -> list[Any]:
  """Devices of TPU slices, all of one topology, to compile for.

  Raises:
    UserError: libtpu is not installed, or knows no such slice.
  """
  _, count = chips.of_topology(topology)
  if importlib.util.find_spec("libtpu") is None:
    raise errors.UserError(
      "the TPU compiler is missing: pip install 'crab_jax[tpu]' (libtpu; it"
      " needs no TPU)"
    )
  # Compiling asks no TPU and no metadata server; other processes may do so too.
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  from jax.experimental import topologies

  # A host has 2 x 2 chips, but for the slice of one chip.
  extra: dict[str, Any] = {}
  if count == 1:
    extra["chips_per_host_bounds"] = (1, 1, 1)
  if slices > 1:
    extra["num_slices"] = slices
  try:
    found = topologies.get_topology_desc(topology, "tpu", **extra)
  except jax.errors.JaxRuntimeError as error:
    raise errors.UserError(f"topology {topology!r}: {error}") from error
  return found.devices


def runner(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  where: list[Any] | None = None,
) -> meshed.MeshRunner:
  """The step of a stage over a mesh of the devices `where`.

  Raises:
    UserError: the mesh does not fit the devices, the rows or the model.
  """
  model = state_lib.stage_model(model, stage.trains)
  return meshed.MeshRunner(
    stage.rows.rows,
    stage.accumulate,
    mesh=mesh,
    model=model,
    devices=where,
    likelihood=losses.likelihood(model),
    optimizer=optim.optimizer(stage.optimizer, stage.steps),
    # The built-in ones: how many there are changes only the sums by task.
    tasks=len(tasks.Tasks()),
  )


def _too_large(error: Exception) -> float:
  """The bytes that a program needs, from the compiler's complaint.

  Raises:
    Exception: the error itself, if it is another one.
  """
  match = re.search(r"Used ([\d.]+)([KMG]) of [\d.]+[KMG] hbm", str(error))
  if match is None:
    raise error
  return float(match.group(1)) * _UNITS[match.group(2)]


def compile_lowered(lowered: Any) -> Program:
  """Compiles what `MeshRunner.lower` or `jax.jit(..).lower` returns.

  A program that does not fit the chip's memory is a result, not an error.
  """
  start = time.perf_counter()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    needed = _too_large(error)
    return Program("", {}, needed, time.perf_counter() - start)
  seconds = time.perf_counter() - start
  found = compiled.memory_analysis()
  memory = {
    "arguments": found.argument_size_in_bytes,
    "outputs": found.output_size_in_bytes,
    "reused": found.alias_size_in_bytes,
    "temporaries": found.temp_size_in_bytes,
    "program": found.generated_code_size_in_bytes,
  }
  # Reused is a result in an argument's memory: it is counted in both, and as itself.
  peak = sum(memory.values()) - 2 * memory["reused"]
  return Program(
    compiled.as_text(), memory, peak, seconds, compiled.output_shardings
  )

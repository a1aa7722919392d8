"""Plans what is asked, prints it, and hands it on as JSON values.

Three questions: one train step, a sweep of train steps, the two programs of
generation. Each answers with an `Outcome`.
"""

import dataclasses
from typing import Any

import jax

from crab_jax import configs
from crab_jax.planning import generation as generation_lib
from crab_jax.planning import generation_programs
from crab_jax.planning import report
from crab_jax.planning import slots as slots_lib
from crab_jax.planning import sweep as sweep_lib
from crab_jax.planning import text
from crab_jax.training import state as state_lib


@dataclasses.dataclass(frozen=True)
class Target:
  """What is planned, and for which slice.

  Attributes:
    experiment: the settings.
    stage: the one of its stages to plan.
    topology: the slice, e.g. "v5e:4x4", of which there are `Mesh.slices`.
  """

  experiment: configs.Experiment
  stage: configs.Stage
  topology: str


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A plan.

  Attributes:
    fits: whether the chips have the memory.
    values: the plan as JSON values.
  """

  fits: bool
  values: Any


def train_step(target: Target, job: report.Job) -> Outcome:
  """Plans the train step, and prints it.

  Raises:
    UserError: libtpu is missing, or mesh, rows and slice do not fit together.
  """
  use_cpu()
  found = report.plan(*_step_arguments(target))
  print("\n".join(text.lines(found, job)))
  return Outcome(found.memory.fits, report.as_json(found, job))


def sweep(
  target: Target,
  job: report.Job,
  rows: tuple[int, ...],
  remat: tuple[str, ...],
  meshes: tuple[str, ...],
  best: int,
) -> Outcome:
  """Plans train steps; prints each as it comes, then the best.

  Args:
    target: the settings that are varied.
    job: how much there is to train on.
    rows: rows a step to try; empty: those of `sweep.default_grid`.
    remat: values of `Model.remat` to try; empty: likewise.
    meshes: to try, "1x4x4" for data x fsdp x tensor; empty: likewise.
    best: how many to print and keep.

  Raises:
    UserError: a mesh does not read so.
  """
  use_cpu()
  default = sweep_lib.default_grid(
    target.stage, target.topology, target.experiment.mesh.slices
  )
  grid = sweep_lib.Grid(
    rows=rows or default.rows,
    remat=remat or default.remat,
    meshes=tuple(map(sweep_lib.parse_mesh, meshes)) or default.meshes,
  )
  tried = []
  model, stage, mesh, topology = _step_arguments(target)
  for candidate in sweep_lib.run(model, stage, mesh, topology, grid):
    tried.append(candidate)
    print(_candidate_line(candidate, job), flush=True)
  found = sweep_lib.ranked(tried)[:best]
  print(f"best {len(found)} of {len(tried)}, by estimated tokens/s:")
  for plan in found:
    print(text.row(plan, job))
  # Only candidates that fit are ranked.
  return Outcome(bool(found), [report.as_json(plan, job) for plan in found])


def generation(
  target: Target,
  prompt: tuple[int, int, int],
  *,
  prefill: bool,
  decode: bool,
) -> Outcome:
  """Plans programs of generation, and prints them.

  Args:
    target: the settings.
    prompt: tokens, frame pairs and chunks of the longest prompt of a batch.
    prefill: plan the pass over the prompts.
    decode: plan the step that decodes one token of every answer.

  Raises:
    UserError: libtpu is missing, or the prompt does not fit the model.
  """
  use_cpu()
  wanted = [generation_lib.PREFILL] * prefill + [generation_lib.DECODE] * decode
  config = target.experiment.evaluation
  phases = generation_lib.plan(
    state_lib.stage_model(target.experiment.model, target.stage.trains),
    target.experiment.mesh,
    target.topology,
    generation_programs.Prompts(config.batch, *prompt, config.max_new_tokens),
    wanted,
  )
  print("\n".join(text.generation_lines(phases)))
  fits = all(phase.memory.fits for phase in phases)
  return Outcome(fits, generation_lib.as_json(phases))


def serving(target: Target, settings: configs.Slots) -> Outcome:
  """Plans a server's programs on one host, and prints them.

  Args:
    target: the model, and the devices.
    settings: the slots.

  Raises:
    UserError: libtpu is missing, or the model does not fit the devices.
  """
  use_cpu()
  phases = slots_lib.plan(
    state_lib.stage_model(target.experiment.model, target.stage.trains),
    target.experiment.mesh,
    target.topology,
    settings,
  )
  print("\n".join(text.serving_lines(phases)))
  fits = all(phase.memory.fits for phase in phases)
  return Outcome(fits, slots_lib.as_json(phases))


def use_cpu() -> None:
  # The host needs no accelerator to compile for another one.
  jax.config.update("jax_platforms", "cpu")


def _step_arguments(
  target: Target,
) -> tuple[configs.Model, configs.Stage, configs.Mesh, str]:
  experiment = target.experiment
  return experiment.model, target.stage, experiment.mesh, target.topology


def _candidate_line(candidate: sweep_lib.Candidate, job: report.Job) -> str:
  if candidate.plan:
    return text.row(candidate.plan, job)
  shape = "x".join(map(str, candidate.mesh))
  return (
    f"mesh {shape:<8} rows {candidate.rows:<4} remat"
    f" {candidate.remat:<12} {candidate.why}"
  )

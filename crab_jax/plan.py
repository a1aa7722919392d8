"""Tells, with no TPU at hand, whether and how well a step runs on a TPU slice.

  python -m crab_jax.plan --gin_file=gin/crab_plus_7b.gin \\
    --gin_file=gin/mesh/v5e_16.gin --out=plan.json

The real train step is compiled by the TPU compiler (extra "tpu"): memory of a
chip, FLOPs and traffic are the compiled program's; times are estimates from
the chip's peaks. With --prefill or --decode (or both) it is the programs of
generation that are compiled, for one host of the slice, as every host answers
other clips. Exit code: 0 it fits, 3 it does not, 2 wrong input.
"""

import json
import pathlib

import jax
from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors
from crab_jax import gin_utils
from crab_jax.planning import aot
from crab_jax.planning import generation
from crab_jax.planning import report
from crab_jax.planning import sweep
from crab_jax.planning import text

DOES_NOT_FIT = 3

cli.define_config_flags()
_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "The slice, e.g. v5e:4x4; default: Mesh.topology."
)
_STAGE = flags.DEFINE_string(
  "stage", None, "Name of the stage to plan; default: the last one."
)
_OUT = flags.DEFINE_string(
  "out", None, "Also write the plan to this JSON file."
)
_SWEEP = flags.DEFINE_bool(
  "sweep", False, "Try batch sizes, remat policies and mesh shapes."
)
_ROWS = flags.DEFINE_list("sweep_rows", [], "Rows a step to try.")
_REMAT = flags.DEFINE_list("sweep_remat", [], "Values of Model.remat to try.")
_MESHES = flags.DEFINE_list(
  "sweep_mesh", [], "Meshes to try: data x fsdp x tensor, e.g. 1x16x1,1x4x4."
)
_BEST = flags.DEFINE_integer("best", 5, "How many of a sweep to print.")
_PREFILL = flags.DEFINE_bool(
  "prefill", False, "The prompts' pass of generation instead of the train step."
)
_DECODE = flags.DEFINE_bool(
  "decode", False, "The step that decodes one token of every answer instead."
)
_PROMPT = flags.DEFINE_list(
  "prompt",
  ["1024", "10", "10"],
  "Tokens, frame pairs and chunks of the longest prompt of a batch. Default:"
  " the longest of AV-UIE v2 by nominal lengths.",
)
_SAMPLES = flags.DEFINE_integer("samples", 222_000, "Samples of an epoch.")
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Passes over the samples.")
_TOKENS = flags.DEFINE_float(
  "sample_tokens", 600.0, "Mean tokens of a sample; an assumption."
)


def _stage(experiment: configs.Experiment) -> configs.Stage:
  if _STAGE.value is None:
    return experiment.stages[-1]
  for stage in experiment.stages:
    if stage.name == _STAGE.value:
      return stage
  names = ", ".join(stage.name for stage in experiment.stages)
  raise errors.UserError(f"--stage={_STAGE.value}: there are {names}")


def _grid(stage: configs.Stage, topology: str) -> sweep.Grid:
  default = sweep.default_grid(stage, topology)
  if not all(rows.isdigit() and int(rows) for rows in _ROWS.value):
    raise errors.UserError(f"--sweep_rows={','.join(_ROWS.value)}: no numbers")
  return sweep.Grid(
    rows=tuple(int(rows) for rows in _ROWS.value) or default.rows,
    remat=tuple(_REMAT.value) or default.remat,
    meshes=tuple(map(sweep.parse_mesh, _MESHES.value)) or default.meshes,
  )


def _sweep(arguments: tuple, grid: sweep.Grid, job: report.Job) -> list:
  """Prints every candidate as it comes, then the best; returns the best."""
  tried = []
  for candidate in sweep.run(*arguments, grid):
    tried.append(candidate)
    shape = "x".join(map(str, candidate.mesh))
    print(
      text.row(candidate.plan, job)
      if candidate.plan
      else f"mesh {shape:<8} rows {candidate.rows:<4} remat"
      f" {candidate.remat:<12} {candidate.why}",
      flush=True,
    )
  best = sweep.ranked(tried)[: _BEST.value]
  print(f"best {len(best)} of {len(tried)}, by estimated tokens/s:")
  for found in best:
    print(text.row(found, job))
  return best


def _wanted() -> list[str]:
  """The programs of generation that are asked for.

  Raises:
    UserError: together with a sweep.
  """
  asked = {generation.PREFILL: _PREFILL.value, generation.DECODE: _DECODE.value}
  wanted = [name for name, value in asked.items() if value]
  if wanted and _SWEEP.value:
    raise errors.UserError(
      f"--sweep tries train steps: leave out --{wanted[0]}"
    )
  return wanted


def _prompts(config: configs.Evaluation) -> generation.Prompts:
  sizes = _PROMPT.value
  if len(sizes) != 3 or not all(size.isdigit() and int(size) for size in sizes):
    raise errors.UserError(
      f"--prompt={','.join(sizes)} must read TOKENS,PAIRS,CHUNKS: 1024,10,10"
    )
  tokens, pairs, chunks = map(int, sizes)
  return generation.Prompts(
    config.batch, tokens, pairs, chunks, config.max_new_tokens
  )


def _generation(
  experiment: configs.Experiment,
  stage: configs.Stage,
  topology: str,
  wanted: list[str],
) -> tuple[list, dict]:
  """Plans the programs of generation, and prints them."""
  phases = generation.plan(
    aot.stage_model(experiment.model, stage.trains),
    experiment.mesh,
    topology,
    _prompts(experiment.evaluation),
    wanted,
  )
  print("\n".join(text.generation_lines(phases)))
  return phases, generation.as_json(phases)


def _train_step(arguments: tuple, job: report.Job) -> tuple[list, dict]:
  """Plans the train step, and prints it."""
  found = report.plan(*arguments)
  print("\n".join(text.lines(found, job)))
  return [found], report.as_json(found, job)


def main() -> int:
  # The host needs no accelerator to compile for another one.
  jax.config.update("jax_platforms", "cpu")
  experiment = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  topology = _TOPOLOGY.value or experiment.mesh.topology
  if topology is None:
    raise errors.UserError("--topology is needed: no Mesh.topology is set")
  stage = _stage(experiment)
  job = report.Job(_SAMPLES.value, _EPOCHS.value, _TOKENS.value)
  arguments = (experiment.model, stage, experiment.mesh, topology)
  fits = all
  if wanted := _wanted():
    plans, values = _generation(experiment, stage, topology, wanted)
  elif _SWEEP.value:
    fits = any
    plans = _sweep(arguments, _grid(stage, topology), job)
    values = [report.as_json(found, job) for found in plans]
  else:
    plans, values = _train_step(arguments, job)
  if _OUT.value:
    pathlib.Path(_OUT.value).write_text(json.dumps(values, indent=2) + "\n")
  return 0 if fits(found.memory.fits for found in plans) else DOES_NOT_FIT


if __name__ == "__main__":
  cli.run(main)

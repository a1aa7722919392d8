"""Tells, with no TPU at hand, whether and how well a step runs on a TPU slice.

  python -m crab_jax.plan --gin_file=gin/crab_plus_7b.gin \\
    --gin_file=gin/mesh/v5e_16.gin --out=plan.json

The real train step is compiled by the TPU compiler (extra "tpu"): memory of a
chip, FLOPs and traffic are the compiled program's; times are estimates from
the chip's peaks. With --prefill or --decode (or both) it is the programs of
generation that are compiled, for one host of the slice, as every host answers
other clips; with --serve those of a server, with all its slots. With --masks=large
(or another size of SAM 2.1) it is the programs of the mask model, for one chip.
Exit code: 0 it fits, 3 it does not, 2 wrong input.
"""

import dataclasses

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax import gin_utils

DOES_NOT_FIT = 3
_ONE_CHIP = "v5e:1x1"

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
_MASKS = flags.DEFINE_enum(
  "masks",
  None,
  list(configs.SAM2_SIZES),
  "The programs of a mask model of this size, its encoder in bfloat16, instead.",
)
_SERVE = flags.DEFINE_bool(
  "serve", False, "A server's longest prompt and its decoding of all slots."
)
_SLOTS = flags.DEFINE_list(
  "slots",
  ["16", "1536", "512"],
  "For --serve: slots, tokens of the longest prompt, of the longest answer.",
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


def _sizes(flag: flags.FlagHolder[list[str]], why: str) -> tuple[int, ...]:
  """The values of a flag as positive numbers.

  Raises:
    UserError: one is none; its message is the flag and `why`.
  """
  if not all(size.isdigit() and int(size) for size in flag.value):
    raise errors.UserError(f"--{flag.name}={','.join(flag.value)}{why}")
  return tuple(map(int, flag.value))


def _prompt() -> tuple[int, int, int]:
  """Tokens, frame pairs and chunks of the longest prompt."""
  why = " must read TOKENS,PAIRS,CHUNKS: 1024,10,10"
  sizes = _sizes(_PROMPT, why)
  if len(sizes) != 3:
    raise errors.UserError(f"--prompt={','.join(_PROMPT.value)}{why}")
  return sizes


def _masks(size: str) -> int:
  """Plans the programs of a mask model."""
  cli.refuse("does not go with --masks", _SWEEP, _PREFILL, _DECODE, _SERVE)
  config = dataclasses.replace(
    configs.SAM2_SIZES[size], encoder_dtype="bfloat16"
  )
  # After the flags: these import jax, which takes seconds.
  from crab_jax.planning import masks
  from crab_jax.planning import run

  run.use_cpu()
  batch = configs.Evaluation().mask_batch
  found = masks.plan(config, _TOPOLOGY.value or _ONE_CHIP, batch)
  print("\n".join(masks.lines(found)))
  if out := cli.path(_OUT):
    files.write_json(out, [dataclasses.asdict(cost) for cost in found])
  return 0 if all(cost.fits for cost in found) else DOES_NOT_FIT


def _slots() -> configs.Slots:
  """The slots of a server."""
  why = " must read SLOTS,PROMPT,ANSWER: 16,1536,512"
  sizes = _sizes(_SLOTS, why)
  if len(sizes) != 3:
    raise errors.UserError(f"--slots={','.join(_SLOTS.value)}{why}")
  slots, prompt, answer = sizes
  return configs.Slots(slots, prompt, answer)


def main() -> int:
  if _MASKS.value:
    return _masks(_MASKS.value)
  experiment = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  topology = _TOPOLOGY.value or experiment.mesh.topology
  if topology is None:
    raise errors.UserError("--topology is needed: no Mesh.topology is set")
  stage = cli.stage(_STAGE, experiment)
  if _SWEEP.value:
    cli.refuse(
      "does not go with --sweep, which tries train steps",
      _PREFILL,
      _DECODE,
      _SERVE,
    )
  # After the flags: these import jax, which takes seconds.
  from crab_jax.planning import report
  from crab_jax.planning import run

  target = run.Target(experiment, stage, topology)
  job = report.Job(_SAMPLES.value, _EPOCHS.value, _TOKENS.value)
  if _SERVE.value:
    cli.refuse("does not go with --serve, which plans both", _PREFILL, _DECODE)
    outcome = run.serving(target, _slots())
  elif _PREFILL.value or _DECODE.value:
    outcome = run.generation(
      target, _prompt(), prefill=_PREFILL.value, decode=_DECODE.value
    )
  elif _SWEEP.value:
    outcome = run.sweep(
      target,
      job,
      _sizes(_ROWS, ": no numbers"),
      tuple(_REMAT.value),
      tuple(_MESHES.value),
      _BEST.value,
    )
  else:
    outcome = run.train_step(target, job)
  if out := cli.path(_OUT):
    files.write_json(out, outcome.values)
  return 0 if outcome.fits else DOES_NOT_FIT


if __name__ == "__main__":
  cli.run(main)

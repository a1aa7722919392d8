r"""Times the train step on the devices at hand: random weights, random rows.

  python -m crab_jax.bench --gin_file=gin/base.gin --steps=5
  python -m crab_jax.bench --gin_file=gin/base.gin --data \
    --records=runs/base/records

Prints the time of a step, tokens/s, the share of the devices' peak, the time to
compile and the peak memory. Nothing is read from disk, and the input pipeline
is not even imported. With --data it is the input pipeline that is timed, stage
by stage, on prepared records: samples a second of one core.
"""

import dataclasses

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax import gin_utils
from crab_jax.training import huge_pages

cli.define_config_flags()
_STAGE = flags.DEFINE_string(
  "stage", None, "Name of the stage to time; default: the last one."
)
_STEPS = flags.DEFINE_integer(
  "steps", 10, "Steps to time, after two that warm up.", lower_bound=1
)
_OUT = flags.DEFINE_string(
  "out", None, "Also write the result to this JSON file."
)
_DATA = flags.DEFINE_bool(
  "data", False, "Time the input pipeline instead of the step."
)
_RECORDS = flags.DEFINE_string(
  "records", None, "Prepared records for --data; default: Experiment.records."
)
_SAMPLES = flags.DEFINE_integer(
  "samples", 256, "Samples to time with --data.", lower_bound=1
)


def _data(experiment: configs.Experiment, stage: configs.Stage):
  """The input pipeline's measurement as JSON values, and its lines."""
  root = _RECORDS.value or experiment.records
  if root is None:
    raise errors.UserError(
      "--records is needed: a folder that crab_jax.prepare wrote, or the"
      " records/ of a run of crab_jax.train"
    )
  # Here, as the step is timed without the libraries of the input pipeline.
  from crab_jax.data import prepared_records
  from crab_jax.data import throughput

  found = throughput.measure(
    prepared_records.read(root),
    experiment.data,
    experiment.model,
    stage,
    _SAMPLES.value,
  )
  return dataclasses.asdict(found), throughput.lines(found)


def _step(experiment: configs.Experiment, stage: configs.Stage):
  """The step's measurement as JSON values, and its lines."""
  # After the flags: it imports jax, which takes seconds.
  from crab_jax.planning import timing

  found = timing.measure(experiment.model, stage, experiment.mesh, _STEPS.value)
  return timing.as_json(found), timing.lines(found)


def main() -> None:
  experiment = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  stage = cli.stage(_STAGE, experiment)
  values, lines = (_data if _DATA.value else _step)(experiment, stage)
  print("\n".join(lines))
  if out := cli.path(_OUT):
    files.write_json(out, values)


if __name__ == "__main__":
  # First of all: it starts the process anew.
  huge_pages.restart()
  cli.run(main)

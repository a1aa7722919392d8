"""Times the train step on the devices at hand: random weights, random rows.

  python -m crab_jax.bench --gin_file=gin/base.gin --steps=5

Prints the time of a step, tokens/s, the share of the devices' peak, the time to
compile and the peak memory. Nothing is read from disk, and the input pipeline
is not even imported.
"""

import json
import pathlib

from absl import flags

from crab_jax import doors
from crab_jax import errors
from crab_jax import gin_utils
from crab_jax.planning import timing

doors.define_config_flags()
_STAGE = flags.DEFINE_string(
  "stage", None, "Name of the stage to time; default: the last one."
)
_STEPS = flags.DEFINE_integer(
  "steps", 10, "Steps to time, after two that warm up.", lower_bound=1
)
_OUT = flags.DEFINE_string(
  "out", None, "Also write the result to this JSON file."
)


def main() -> None:
  experiment = gin_utils.experiment(doors.gin_files(), doors.gin_settings())
  stages = {stage.name: stage for stage in experiment.stages}
  name = _STAGE.value or experiment.stages[-1].name
  if name not in stages:
    raise errors.UserError(f"--stage={name}: there are {', '.join(stages)}")
  found = timing.measure(
    experiment.model, stages[name], experiment.mesh, _STEPS.value
  )
  print("\n".join(timing.lines(found)))
  if _OUT.value:
    text = json.dumps(timing.as_json(found), indent=2)
    pathlib.Path(_OUT.value).write_text(text + "\n")


if __name__ == "__main__":
  doors.run(main)

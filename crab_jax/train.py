"""Trains, evaluates and reports what one gin file describes.

  python -m crab_jax.train --gin_file=gin/base.gin

A run that was stopped goes on from its newest checkpoint when the same command
is given again. Everything it writes lies in --workdir.
"""

import pathlib

import jax
from absl import flags

from crab_jax import doors
from crab_jax import errors
from crab_jax import experiment
from crab_jax import gin_utils

doors.define_config_flags()
_WORKDIR = flags.DEFINE_string(
  "workdir", "runs/base", "Folder of the run: data, checkpoints, report."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Several hosts: find each other before anything else."
)


def main() -> None:
  if "://" in _WORKDIR.value:
    raise errors.UserError(
      f"--workdir={_WORKDIR.value}: remote folders are not supported yet; mount"
      " the bucket (gcsfuse) and give the path where it is mounted"
    )
  settings = gin_utils.experiment(doors.gin_files(), doors.gin_settings())
  if _DISTRIBUTED.value:
    jax.distributed.initialize()
  experiment.run(
    settings, pathlib.Path(_WORKDIR.value), gin_utils.operative_config()
  )


if __name__ == "__main__":
  doors.run(main)

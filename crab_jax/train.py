"""Trains, evaluates and reports what one gin file describes.

  python -m crab_jax.train --gin_file=gin/base.gin

A run that was stopped goes on from its newest checkpoint when the same command
is given again. On SIGTERM it saves and exits with 0 within 30 seconds.
Everything it writes lies in --workdir.
"""

from absl import flags

from crab_jax import cli
from crab_jax import gin_utils
from crab_jax.training import huge_pages
from crab_jax.training import preemption

cli.define_config_flags()
_WORKDIR = flags.DEFINE_string(
  "workdir", "runs/base", "Folder of the run: data, checkpoints, report."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Several hosts: find each other before anything else."
)
_TASK_FILE = cli.define_task_file_flag()
_ALLOW_CHANGE = flags.DEFINE_list(
  "allow_change",
  [],
  "Settings that may differ from those that a checkpoint notes, by commas:"
  " ILora.alpha, Optimizer (all its fields), base, tokenizer. They are noted.",
)
_PROFILE = flags.DEFINE_string(
  "profile_steps",
  None,
  "Steps of each stage to trace for xprof, FIRST:LAST, e.g. 10:15.",
)


def main() -> None:
  workdir = cli.local_folder(_WORKDIR)
  # Before jax is imported: a misspelt setting is told at once.
  settings = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  # After the flags: these import jax, which takes seconds.
  from crab_jax.evaluation.scoring import scores
  from crab_jax.experiment import run
  from crab_jax.training import hosts
  from crab_jax.training import profiling

  profile = profiling.parse(_PROFILE.value) if _PROFILE.value else None
  given = scores.own_tasks(cli.path(_TASK_FILE))
  if _DISTRIBUTED.value:
    # Before anything touches a device, as jax wants it.
    hosts.join(settings.hosts)
  with preemption.Handler() as handler:
    run.run(
      settings,
      workdir,
      gin_utils.operative_config(),
      handler=handler,
      profile=profile,
      given=given,
      allowed=_ALLOW_CHANGE.value,
    )


if __name__ == "__main__":
  # First of all: it starts the process anew.
  huge_pages.restart()
  cli.run(main)

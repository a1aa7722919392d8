"""Does joint training help or harm? Trains every run of a study, and reports.

  python -m crab_jax.transfer --gin_file=gin/ablation/transfer.gin

From one frozen backbone: each dataset alone, all together with every method,
pairs of families; with reasoning and with bare answers; several seeds. A study
that was stopped goes on where it was; started on several machines that share
--workdir, they divide the runs among them. So do --processes of one machine: a
small model makes better use of the cores with a run on each.
"""

import sys

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import files
from crab_jax import gin_utils
from crab_jax.ablation import side_by_side
from crab_jax.data import tasks
from crab_jax.training import huge_pages
from crab_jax.training import preemption

cli.define_config_flags()
_WORKDIR = flags.DEFINE_string(
  "workdir", "runs/transfer", "Folder of the study: backbone, runs, report."
)
_TASK_FILE = cli.define_task_file_flag()
_PROCESSES = flags.DEFINE_integer(
  "processes", 1, "Runs at a time, each on its share of the cores.", 1
)
_STATUS = flags.DEFINE_bool(
  "status",
  False,
  "Only print what is done, what remains, and how long it takes.",
)
_REPORT = flags.DEFINE_bool(
  "report", False, "Only write the report of what is done so far."
)


def main() -> int:
  workdir = cli.local_folder(_WORKDIR)
  settings = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  # After the flags: it imports jax, which takes seconds.
  from crab_jax.ablation import study
  from crab_jax.evaluation.scoring import scores

  given = scores.own_tasks(cli.path(_TASK_FILE))
  if _STATUS.value:
    study.show(settings, workdir)
  elif _REPORT.value:
    study.draw(settings, workdir)
  elif _PROCESSES.value > 1:
    return _side_by_side(settings, workdir, given)
  else:
    with preemption.Handler() as handler:
      text = gin_utils.operative_config()
      study.run(settings, workdir, text, handler, given)
  return 0


def _side_by_side(
  settings: configs.Experiment, workdir: files.Path, given: tasks.Tasks | None
) -> int:
  """The backbone on all cores, then the runs."""
  from crab_jax.ablation import study

  shares = side_by_side.shares(_PROCESSES.value)
  with preemption.Handler() as handler:
    text = gin_utils.operative_config()
    # One process on all cores: the runs cannot begin without the backbone.
    if not study.begin(settings, workdir, text, handler, given):
      return 0
  # A later flag wins over an earlier one.
  command = [sys.executable, *sys.orig_argv[1:], "--processes=1"]
  return side_by_side.run(command, shares)


if __name__ == "__main__":
  # First of all: it starts the process anew.
  huge_pages.restart()
  cli.run(main)

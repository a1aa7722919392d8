"""Does joint training help or harm? Trains every cell of a study, and reports.

  python -m crab_jax.transfer --gin_file=gin/ablation/transfer.gin

From one frozen backbone: each dataset alone, all together with every method,
pairs of families; with reasoning and with bare answers; several seeds. A study
that was stopped goes on where it was; started on several machines that share
--workdir, they divide the cells among them.
"""

from absl import flags

from crab_jax import doors
from crab_jax import gin_utils
from crab_jax.ablation import study
from crab_jax.training import preemption

doors.define_config_flags()
_WORKDIR = flags.DEFINE_string(
  "workdir", "runs/transfer", "Folder of the study: backbone, cells, report."
)
_STATUS = flags.DEFINE_bool(
  "status", False, "Only print what is done, what is left, and how long it is."
)
_REPORT = flags.DEFINE_bool(
  "report", False, "Only write the report of what is done so far."
)


def main() -> None:
  workdir = doors.local_folder(_WORKDIR)
  settings = gin_utils.experiment(doors.gin_files(), doors.gin_settings())
  if _STATUS.value:
    study.show(settings, workdir)
  elif _REPORT.value:
    study.draw(settings, workdir)
  else:
    with preemption.Notice() as notice:
      study.run(settings, workdir, gin_utils.operative_config(), notice)


if __name__ == "__main__":
  doors.run(main)

"""Turns AV-UIE v2 (annotations and media files) into TFRecords.

  python -m crab_jax.prepare --source=AVUIE_2 --out=DIR [--tasks=ave,s4]

--check tells beforehand what is missing, and whether the data are as assumed.
Interrupted and started again, it goes on where it was. With --runner=beam (the
extra `beam`) the same records are made by Apache Beam; every worker must see
both folders under the same paths.
"""

from typing import Any

from absl import flags

from crab_jax import cli
from crab_jax import configs

_DEFAULTS = configs.Preparation()
_SOURCE = flags.DEFINE_string("source", None, "The folder AVUIE_2.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_TASKS = flags.DEFINE_list("tasks", [], "Datasets, by commas; all if empty.")
_TASK_FILE = cli.define_task_file_flag()
_CHECK = flags.DEFINE_bool(
  "check",
  False,
  "Only tell what is there and missing, what the whole would take, and whether"
  " the data are as assumed; exits with 3 if not. Needs no --out.",
)
_RUNNER = flags.DEFINE_string(
  "runner",
  "local",
  "local: processes of this machine; beam: Apache Beam on this machine; else a"
  " runner of Apache Beam, such as DataflowRunner, FlinkRunner, SparkRunner.",
)
_BEAM = flags.DEFINE_multi_string(
  "beam_option", [], "An option of the runner, such as project=x; repeatable."
)
_SETTINGS = (
  flags.DEFINE_integer(
    "frame_size", _DEFAULTS.frame_size, "Pixels of the frames.", 1
  ),
  flags.DEFINE_enum(
    "frame_format", _DEFAULTS.frame_format, ["jpeg", "png"], "Of the frames."
  ),
  flags.DEFINE_integer("jpeg_quality", _DEFAULTS.jpeg_quality, "", 1, 100),
  flags.DEFINE_integer(
    "shard_records", _DEFAULTS.shard_records, "Annotations a file.", 1
  ),
  flags.DEFINE_float(
    "max_audio_seconds", None, "Cut longer audio; not cut if absent.", 0.1
  ),
  flags.DEFINE_float(
    "max_bad_share",
    _DEFAULTS.max_bad_share,
    "Of all records; more: fail.",
    0,
    1,
  ),
  flags.DEFINE_float(
    "max_bad_task_share",
    _DEFAULTS.max_bad_task_share,
    "Of the records of a dataset; more: fail.",
    0,
    1,
  ),
  flags.DEFINE_integer(
    "workers", _DEFAULTS.workers, "Processes; 0: a core.", 0
  ),
)


def main() -> int | None:
  if _CHECK.value:
    return _check()
  source, out = cli.required_path(_SOURCE), cli.required_path(_OUT)
  settings: dict[str, Any] = {flag.name: flag.value for flag in _SETTINGS}
  config = configs.Preparation(**settings)
  # After the flags: these import av and librosa, which takes seconds.
  from crab_jax.data import preparation
  from crab_jax.data import preparation_runners
  from crab_jax.evaluation.reading import references
  from crab_jax.evaluation.scoring import scores

  summary = preparation.prepare(
    source,
    out,
    tuple(_TASKS.value) or None,
    config,
    preparation_runners.by_name(_RUNNER.value, _BEAM.value),
    table=scores.own_tasks(cli.path(_TASK_FILE)),
    check=references.has_object,
  )
  print(f"{summary['records']} records in {out}")
  return None


def _check() -> int:
  """Looks at the source; `cli.DOUBTFUL_EXIT` if something is wrong with it."""
  source = cli.required_path(_SOURCE)
  from crab_jax.annotation.inspection import inspect_source
  from crab_jax.data import tasks
  from crab_jax.evaluation.scoring import scores

  table = scores.own_tasks(cli.path(_TASK_FILE)) or tasks.Tasks()
  names = tuple(_TASKS.value) or None
  report = inspect_source.check(source, names, table)
  return 0 if report.good else cli.DOUBTFUL_EXIT


if __name__ == "__main__":
  cli.run(main)

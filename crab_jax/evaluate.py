"""Decodes held-out clips with a checkpoint, scores them, writes a report.

  python -m crab_jax.evaluate --gin_file=gin/base.gin --checkpoint=runs/base/base \\
    --adapter=runs/base/adapter --data=runs/base/records --out=runs/base/eval

Stopped and started again it goes on; what is decoded is not decoded again. On
SIGTERM it ends at once, with exit code 0. On several hosts, --distributed
shares the clips out; all must see --out. With --router it answers nothing: it
writes what the adapter's routers do.

  python -m crab_jax.evaluate --rescore --predictions=DIR --out=runs/scored

scores files that are there, without a model: ours ({task}.jsonl) or those of
the official implementation (inference_{task}.jsonl). These have no ids: --data
gives the records that they are joined with, by order.

A task, or a row, that cannot be scored (its true mask is missing, its reference
cannot be read) costs the others nothing: the report names it, and the exit code
is 4.
"""

import dataclasses
from typing import TYPE_CHECKING

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import gin_utils
from crab_jax.training import preemption

if TYPE_CHECKING:  # it imports jax, which takes seconds
  from crab_jax.evaluation.report import files as report_files

cli.define_config_flags()
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_DATA = flags.DEFINE_string("data", None, "A folder of prepared records.")
_MASKS = flags.DEFINE_string(
  "masks",
  None,
  "A folder of convert sam2: S4, MS3 and Ref-AVS are scored by masks.",
)
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_TASKS = flags.DEFINE_list("tasks", [], "Datasets, by commas; all if empty.")
_TASK_FILE = cli.define_task_file_flag()
_ROUTER = flags.DEFINE_bool(
  "router", False, "Report on the routers alone: gates, heads, distances."
)
_LIMIT = flags.DEFINE_integer("limit", None, "Clips a dataset at most.", 1)

_RESCORE = flags.DEFINE_bool(
  "rescore", False, "Score the files of --predictions; no model is needed."
)
_PREDICTIONS = flags.DEFINE_string(
  "predictions", None, "With --rescore: a folder; default {out}/predictions."
)
_COMPILED = cli.define_compiled_flag()
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Several hosts: find each other before anything else."
)


def _chosen(config: configs.Evaluation) -> configs.Evaluation:
  """The configuration with what --tasks and --limit say."""
  return dataclasses.replace(
    config,
    tasks=tuple(_TASKS.value) or config.tasks,
    limit=_LIMIT.value or config.limit,
  )


def _rescore() -> "report_files.Written":
  """Scores prediction files."""
  out = cli.required_path(_OUT)
  useless = _CHECKPOINT, _ADAPTER, _MASKS, _DISTRIBUTED, _COMPILED
  cli.refuse("does not go with --rescore", *useless)
  if not _DATA.value:
    cli.refuse("needs --data beside --rescore", _LIMIT)
  config = _chosen(configs.Evaluation())
  # After the flags: it imports jax, which takes seconds.
  from crab_jax.data import prepared_records
  from crab_jax.data import tasks
  from crab_jax.evaluation import rescoring
  from crab_jax.evaluation.scoring import scores

  records, given = cli.path(_DATA), scores.own_tasks(cli.path(_TASK_FILE))
  prepared = prepared_records.read(records, given) if records else None
  table = prepared.table if prepared else given or tasks.Tasks()
  return rescoring.rescore(cli.path(_PREDICTIONS), out, config, table, prepared)


def _evaluate() -> "report_files.Written | None":
  """Reports on a checkpoint; None on a host that does not write the report."""
  model, records = cli.required_path(_CHECKPOINT), cli.required_path(_DATA)
  out = cli.required_path(_OUT)
  cli.refuse("needs --rescore", _PREDICTIONS)
  if _ROUTER.value:
    cli.refuse("does not go with --router", _DISTRIBUTED, _MASKS)
  experiment = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  experiment = dataclasses.replace(
    experiment, evaluation=_chosen(experiment.evaluation)
  )
  # After the flags: these import jax, which takes seconds.
  from crab_jax.data import prepared_records
  from crab_jax.evaluation import checkpoint_report
  from crab_jax.evaluation.report import files as report_files
  from crab_jax.evaluation.scoring import scores
  from crab_jax.training import compilation
  from crab_jax.training import hosts

  compilation.keep(_COMPILED.value or experiment.compiled)
  given = scores.own_tasks(cli.path(_TASK_FILE))
  if _DISTRIBUTED.value:
    hosts.join(experiment.hosts)
  checkpoint = checkpoint_report.Checkpoint(
    model,
    cli.path(_ADAPTER),
    prepared_records.read(records, given),
    cli.path(_MASKS),
  )
  if _ROUTER.value:
    path = checkpoint_report.routers(checkpoint, experiment, out)
    return report_files.Written(path, complete=True)
  return checkpoint_report.answers(checkpoint, experiment, out)


def main() -> int:
  # No `hold`: every answer is in its file as soon as it is decoded, and the
  # other files are replaced whole, so a preempted process has nothing to save.
  with preemption.Handler():
    report = _rescore() if _RESCORE.value else _evaluate()
  if report is None:
    return 0
  print(f"report: {report.path}")
  return 0 if report.complete else cli.INCOMPLETE_EXIT


if __name__ == "__main__":
  cli.run(main)

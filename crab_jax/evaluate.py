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
"""

import dataclasses
import pathlib

import jax
from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors
from crab_jax import gin_utils
from crab_jax.data import tasks
from crab_jax.evaluation import assessment
from crab_jax.evaluation import decode
from crab_jax.evaluation import folder
from crab_jax.evaluation import rescoring
from crab_jax.routers import report as router_report
from crab_jax.routers import routing
from crab_jax.training import hosts
from crab_jax.training import preemption

cli.define_config_flags()
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_DATA = flags.DEFINE_string("data", None, "A folder of prepared records.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_TASKS = flags.DEFINE_list("tasks", [], "Datasets, by commas; all if empty.")
_ROUTER = flags.DEFINE_bool(
  "router", False, "Only look at the routers: gates, heads, distances."
)
_LIMIT = flags.DEFINE_integer("limit", None, "Clips a dataset at most.", 1)

_RESCORE = flags.DEFINE_bool(
  "rescore", False, "Score the files of --predictions; no model is needed."
)
_PREDICTIONS = flags.DEFINE_string(
  "predictions", None, "With --rescore: a folder; default {out}/predictions."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Several hosts: find each other before anything else."
)


def _require(*needed: flags.FlagHolder) -> None:
  for flag in needed:
    if not flag.value:
      raise errors.UserError(f"--{flag.name} is needed (see --help)")


def _refuse(reason: str, *useless: flags.FlagHolder) -> None:
  for flag in useless:
    if flag.value:
      raise errors.UserError(f"--{flag.name} {reason}")


def _chosen(config: configs.Evaluation) -> configs.Evaluation:
  """The configuration with what --tasks and --limit say."""
  unknown = set(_TASKS.value) - set(tasks.BY_NAME)
  if unknown:
    raise errors.UserError(
      f"--tasks: unknown {', '.join(sorted(unknown))}; there are"
      f" {', '.join(tasks.BY_NAME)}"
    )
  return dataclasses.replace(
    config,
    tasks=tuple(_TASKS.value) or config.tasks,
    limit=_LIMIT.value or config.limit,
  )


def _rescore() -> pathlib.Path:
  _require(_OUT)
  _refuse("has no place beside --rescore", _CHECKPOINT, _ADAPTER, _DISTRIBUTED)
  if not _DATA.value:
    _refuse("needs --data beside --rescore", _LIMIT)
  out = pathlib.Path(_OUT.value)
  source = pathlib.Path(_PREDICTIONS.value or out / decode.FOLDER)
  if not source.is_dir():
    raise errors.UserError(f"{source} is no folder: give --predictions")
  root = pathlib.Path(_DATA.value) if _DATA.value else None
  return rescoring.rescore(source, out, _chosen(configs.Evaluation()), root)


def _routers(
  model: folder.Model, settings: configs.Experiment, config: configs.Evaluation
) -> pathlib.Path:
  """Writes what the routers do on the held-out clips."""
  _refuse("has no place beside --router", _DISTRIBUTED)
  batches = routing.batches(
    pathlib.Path(_DATA.value),
    model.tokenizer,
    settings.data,
    model.config,
    settings.stages[-1].rows,
    config.limit,
    config.tasks,
  )
  found = routing.collect(model.config, model.params, batches)
  return router_report.write(pathlib.Path(_OUT.value), found, model.params)


def _assess() -> pathlib.Path | None:
  """The report's path; None on a host that does not write it."""
  _require(_CHECKPOINT, _DATA, _OUT)
  _refuse("needs --rescore", _PREDICTIONS)
  settings = gin_utils.experiment(cli.gin_files(), cli.gin_settings())
  config = _chosen(settings.evaluation)
  if _DISTRIBUTED.value:
    hosts.join()
  model = folder.load(
    pathlib.Path(_CHECKPOINT.value),
    pathlib.Path(_ADAPTER.value) if _ADAPTER.value else None,
  )
  if _ROUTER.value:
    return _routers(model, settings, config)
  path = assessment.assess(
    assessment.Subject(
      model.config,
      model.params,
      model.tokenizer,
      pathlib.Path(_DATA.value),
      settings.mesh,
    ),
    settings.data,
    config,
    settings.stages[-1].rows,
    pathlib.Path(_OUT.value),
    {"checkpoint": _CHECKPOINT.value, "adapter": _ADAPTER.value or "none"},
    [],
  )
  return path if jax.process_index() == 0 else None


def main() -> None:
  # Nothing is ever held back: each answer is in its file as soon as it is
  # there, and the other files are replaced whole.
  with preemption.Notice():
    path = _rescore() if _RESCORE.value else _assess()
  if path is not None:
    print(f"report: {path}")


if __name__ == "__main__":
  cli.run(main)

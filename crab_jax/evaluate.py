"""Decodes held-out clips with a checkpoint, scores them, writes a report.

  python -m crab_jax.evaluate --gin_file=gin/base.gin --checkpoint=runs/base/base \\
    --adapter=runs/base/adapter --data=runs/base/records --out=runs/base/eval

Stopped and started again it goes on; what is decoded is not decoded again.
"""

import dataclasses
import pathlib

from absl import flags

from crab_jax import doors
from crab_jax import errors
from crab_jax import gin_utils
from crab_jax.data import tasks
from crab_jax.evaluation import assessment
from crab_jax.evaluation import folder

doors.define_config_flags()
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_DATA = flags.DEFINE_string("data", None, "A folder of prepared records.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_TASKS = flags.DEFINE_list("tasks", [], "Datasets, by commas; all if empty.")
_LIMIT = flags.DEFINE_integer("limit", None, "Clips a dataset at most.", 1)


def _subject() -> assessment.Subject:
  model = folder.load(
    pathlib.Path(_CHECKPOINT.value),
    pathlib.Path(_ADAPTER.value) if _ADAPTER.value else None,
  )
  return assessment.Subject(
    model.config, model.params, model.tokenizer, pathlib.Path(_DATA.value)
  )


def main() -> None:
  for flag in (_CHECKPOINT, _DATA, _OUT):
    if not flag.value:
      raise errors.UserError(f"--{flag.name} is needed (see --help)")
  unknown = set(_TASKS.value) - set(tasks.BY_NAME)
  if unknown:
    raise errors.UserError(
      f"--tasks: unknown {', '.join(sorted(unknown))}; there are"
      f" {', '.join(tasks.BY_NAME)}"
    )
  settings = gin_utils.experiment(doors.gin_files(), doors.gin_settings())
  config = settings.evaluation
  if _TASKS.value:
    config = dataclasses.replace(config, tasks=tuple(_TASKS.value))
  if _LIMIT.value:
    config = dataclasses.replace(config, limit=_LIMIT.value)
  path = assessment.assess(
    _subject(),
    settings.data,
    config,
    settings.stages[-1].rows,
    pathlib.Path(_OUT.value),
    {"checkpoint": _CHECKPOINT.value, "adapter": _ADAPTER.value or "none"},
    [],
  )
  print(f"report: {path}")


if __name__ == "__main__":
  doors.run(main)

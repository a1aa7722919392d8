"""Reports on a model folder: how well it answers, or what its routers do."""

import dataclasses

from crab_jax import configs
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.evaluation import assessment
from crab_jax.evaluation import folder
from crab_jax.evaluation.report import files as report_files
from crab_jax.routers import report as router_report
from crab_jax.routers import routing


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """What is reported on.

  Attributes:
    model: a model folder.
    adapter: an adapter folder for it, or None.
    records: the prepared records.
    masks: the folder of a mask model, or None.
  """

  model: files.Path
  adapter: files.Path | None
  records: prepared_records.Prepared
  masks: files.Path | None = None


def answers(
  checkpoint: Checkpoint, experiment: configs.Experiment, out: files.Path
) -> report_files.Written | None:
  """Decodes the held-out clips, scores them, writes the report.

  Args:
    checkpoint: the model and the records.
    experiment: its data, evaluation, mesh, and the rows of its last stage.
    out: the folder to write; several hosts must see the same.

  Returns:
    The report; None on a host that does not write it.

  Raises:
    UserError: whatever a user can cause.
  """
  records = _records(checkpoint, experiment.evaluation)
  model = folder.load(checkpoint.model, checkpoint.adapter)
  folder.require_numbers(model, records.table)
  return assessment.assess(
    assessment.Subject(
      model.config,
      model.params,
      model.tokenizer,
      records,
      experiment.mesh,
      checkpoint.masks,
    ),
    experiment.data,
    experiment.evaluation,
    experiment.stages[-1].rows,
    out,
    {
      "checkpoint": str(checkpoint.model),
      "adapter": str(checkpoint.adapter or "none"),
      "mask model": str(checkpoint.masks or "none"),
    },
    [],
  )


def _records(
  checkpoint: Checkpoint, config: configs.Evaluation
) -> prepared_records.Prepared:
  """The records, their table with the tasks that the model was trained on.

  Before the model is read, which takes minutes at 7B.

  Raises:
    UserError: a task of both differs, or a chosen one is unknown.
  """
  records = checkpoint.records
  table = records.table.joined(
    folder.tasks_of(checkpoint.model, checkpoint.adapter),
    f"the records {records}",
    f"the checkpoint {checkpoint.model}",
  )
  table.require(config.tasks or (), "--tasks")
  return dataclasses.replace(records, table=table)


def routers(
  checkpoint: Checkpoint, experiment: configs.Experiment, out: files.Path
) -> files.Path:
  """Writes what the routers do on the held-out clips; decodes nothing.

  Args:
    checkpoint: the model and the records.
    experiment: its data, the tasks and the limit of its evaluation, and the
      rows of its last stage.
    out: the folder to write.

  Returns:
    The report's path.

  Raises:
    UserError: the model has no router, or there are no records.
  """
  records = _records(checkpoint, experiment.evaluation)
  model = folder.load(checkpoint.model, checkpoint.adapter)
  folder.require_numbers(model, records.table)
  batches = routing.batches(
    records,
    model.tokenizer,
    experiment.data,
    model.config,
    experiment.stages[-1].rows,
    experiment.evaluation.limit,
    experiment.evaluation.tasks,
  )
  found = routing.collect(model.config, model.params, batches, records.table)
  return router_report.write(out, found, model.params)

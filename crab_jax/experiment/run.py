"""A whole run: data, stages of training, held-out answers, report.

  {workdir}/config.gin      the configuration in force
  {workdir}/world/          the embedded AV-UIE, when there is one
  {workdir}/records/        its records
  {workdir}/tasks.json      the table of tasks
  {workdir}/checkpoints/    {stage}/{step}, and {stage}.best where it is kept
  {workdir}/validation/     {stage}/{step}.jsonl: clips decoded while training
  {workdir}/base/           the frozen model: parameters, tokenizer
  {workdir}/adapter/        what tuning added to it
  {workdir}/masks/          the mask model, where `Experiment.masks` is set
  {workdir}/metrics.jsonl, health.jsonl, tensorboard/
  {workdir}/compiled/       compiled programs, for a quick restart
  {workdir}/profile/        traces of steps, when they are wanted
  {workdir}/predictions/    a file a dataset
  {workdir}/report.html, report.md, report.json

Complete parts are not made again, so the same command goes on where a stopped
run was.
"""

from collections.abc import Sequence

from crab_jax import configs
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.evaluation import assessment
from crab_jax.evaluation.report import files as report_files
from crab_jax.experiment import mask_stage
from crab_jax.experiment import parameters
from crab_jax.experiment import resumption
from crab_jax.experiment import setup
from crab_jax.experiment import stages
from crab_jax.training import hosts
from crab_jax.training import metrics
from crab_jax.training import preemption
from crab_jax.training import profiling
from crab_jax.training import trainer


def run(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  *,
  handler: preemption.Handler,
  profile: profiling.Window | None = None,
  given: tasks.Tasks | None = None,
  allowed: Sequence[str] = (),
) -> None:
  """Does what is not done yet of an experiment; prints where the report is.

  Args:
    experiment: the settings.
    workdir: the folder of the run; several hosts must see the same.
    config_text: the configuration in force, kept beside the results.
    handler: of a preemption.
    profile: steps of every stage to trace.
    given: the table of the command's task file; None: it has none.
    allowed: settings that may differ from those of a checkpoint.

  Raises:
    UserError: whatever a user can cause.
  """
  workspace = setup.prepare(experiment, workdir, config_text, given)
  resumption.check_names(experiment, workspace, allowed)
  trained = train(experiment, workspace, handler, profile, allowed)
  if trained is None:
    return
  masks = mask_stage.folder_of(experiment, workspace)
  report = _evaluate(experiment, trained, workspace, masks)
  if report is not None:
    print(f"report: {report.path}")


def train(
  experiment: configs.Experiment,
  workspace: setup.Workspace,
  handler: preemption.Handler,
  profile: profiling.Window | None = None,
  allowed: Sequence[str] = (),
) -> stages.Trained | None:
  """Trains all stages and keeps the result; None: SIGTERM stopped it."""
  writer = metrics.Writer(
    workspace.workdir, experiment.logging, silent=not hosts.is_first()
  )
  observers = stages.Observers(handler, writer, profile)
  trained: stages.Trained | None = None
  try:
    for stage in experiment.stages:
      trained = stages.train(
        experiment, stage, trained, workspace, observers, allowed
      )
  except trainer.Stopped as stopped:
    print(f"{stopped}; the same command goes on from there")
    return None
  finally:
    writer.close()
  assert trained is not None  # an experiment has stages
  parameters.keep(experiment, trained.params, trained.base, workspace)
  return trained


def _evaluate(
  experiment: configs.Experiment,
  trained: stages.Trained,
  workspace: setup.Workspace,
  masks: files.Path | None,
) -> report_files.Written | None:
  """Answers, scores and reports; None of a host that writes no report."""
  last = experiment.stages[-1]
  model = parameters.stage_model(experiment, last)
  about = {"steps": ", ".join(f"{s.name} {s.steps}" for s in experiment.stages)}
  if trained.changes:
    about["changed while training"] = "; ".join(trained.changes)
  if masks is not None:
    about["mask model"] = mask_stage.in_words(masks)
  return assessment.assess(
    assessment.Subject(
      model,
      trained.params,
      workspace.tokenizer,
      workspace.records,
      experiment.mesh,
      masks,
    ),
    experiment.data,
    experiment.evaluation,
    last.rows,
    workspace.workdir,
    about,
    metrics.read(workspace.workdir),
    renew=True,  # the folder is that of this training
  )

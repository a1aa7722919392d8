"""A whole run: data, stages of training, held-out answers, report.

  {workdir}/config.gin      the configuration in force
  {workdir}/world/          the embedded AV-UIE, when there is one
  {workdir}/records/        its records
  {workdir}/tasks.json      the table of tasks
  {workdir}/checkpoints/    {stage}/{step}, and {stage}.best where it is kept
  {workdir}/validation/     {stage}/{step}.jsonl: clips decoded while training
  {workdir}/base/           the frozen model: parameters, tokenizer
  {workdir}/adapter/        what tuning added to it
  {workdir}/metrics.jsonl, tensorboard/
  {workdir}/compiled/       compiled programs, for a quick restart
  {workdir}/profile/        traces of steps, when they are wanted
  {workdir}/predictions/    a file a dataset
  {workdir}/report.html, report.md, report.json

Complete parts are not made again, so the same command goes on where a stopped
run was.
"""

from crab_jax import array_types
from crab_jax import configs
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.evaluation import assessment
from crab_jax.experiment import parameters
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
) -> None:
  """Does what is not done yet of an experiment; prints where the report is.

  Args:
    experiment: the settings.
    workdir: the folder of the run; several hosts must see the same.
    config_text: the configuration in force, kept beside the results.
    handler: of a preemption.
    profile: steps of every stage to trace.
    given: the table of the command's task file; None: it has none.

  Raises:
    UserError: whatever a user can cause.
  """
  workspace = setup.prepare(experiment, workdir, config_text, given)
  params = train(experiment, workspace, handler, profile)
  if params is None:
    return
  report = _evaluate(experiment, params, workspace)
  if hosts.is_first():
    print(f"report: {report}")


def train(
  experiment: configs.Experiment,
  workspace: setup.Workspace,
  handler: preemption.Handler,
  profile: profiling.Window | None = None,
) -> array_types.Tree | None:
  """Trains all stages and keeps the result; None: SIGTERM stopped it."""
  writer = metrics.Writer(
    workspace.workdir, experiment.logging, silent=not hosts.is_first()
  )
  observers = stages.Observers(handler, writer, profile)
  params: array_types.Tree | None = None
  try:
    for stage in experiment.stages:
      params = stages.train(experiment, stage, params, workspace, observers)
  except trainer.Stopped as stopped:
    print(f"{stopped}; the same command goes on from there")
    return None
  finally:
    writer.close()
  assert params is not None  # an experiment has stages
  parameters.keep(experiment, params, workspace)
  return params


def _evaluate(
  experiment: configs.Experiment,
  params: array_types.Tree,
  workspace: setup.Workspace,
) -> files.Path:
  """Answers, scores and reports; returns the report's path."""
  last = experiment.stages[-1]
  model = parameters.stage_model(experiment, last)
  steps = ", ".join(f"{s.name} {s.steps}" for s in experiment.stages)
  return assessment.assess(
    assessment.Subject(
      model, params, workspace.tokenizer, workspace.records, experiment.mesh
    ),
    experiment.data,
    experiment.evaluation,
    last.rows,
    workspace.workdir,
    {"steps": steps},
    metrics.read(workspace.workdir),
  )

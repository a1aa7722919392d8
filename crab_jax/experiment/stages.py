"""A stage of training: what it starts from, its loop, what it hands on."""

import dataclasses

import jax
import optax

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import loader
from crab_jax.data import pipeline
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.experiment import parameters
from crab_jax.experiment import setup
from crab_jax.experiment import validators
from crab_jax.routers import monitor
from crab_jax.training import checkpoint
from crab_jax.training import compilation
from crab_jax.training import hosts
from crab_jax.training import losses
from crab_jax.training import metrics
from crab_jax.training import optim
from crab_jax.training import preemption
from crab_jax.training import profiling
from crab_jax.training import recovery
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import step_log
from crab_jax.training import trainer

_TASKS = "tasks"  # key of the table in the note of a checkpoint


@dataclasses.dataclass(frozen=True)
class Observers:
  """What all stages of a run share beside their data: log, stop, traces."""

  preemption: preemption.Handler
  writer: metrics.Writer
  profile: profiling.Window | None = None  # steps of every stage to trace


def train(
  experiment: configs.Experiment,
  stage: configs.Stage,
  params: array_types.Tree | None,
  workspace: setup.Workspace,
  observers: Observers,
) -> array_types.Tree:
  """All parameters after a stage; `params` None: before the first."""
  model = parameters.stage_model(experiment, stage)
  optimizer = optim.optimizer(stage.optimizer, stage.steps)
  runner = runner_lib.build(
    stage.rows.rows,
    stage.accumulate,
    mesh=experiment.mesh,
    model=model,
    likelihood=losses.likelihood(model),
    optimizer=optimizer,
    tasks=len(workspace.records.table),
  )
  if params is None:
    params = parameters.base(experiment, runner)
  params = parameters.stored(model, params, runner)
  if stage.trains == "adapter":
    params = parameters.with_adapter(model, params, experiment.seed, runner)
  print(f"stage {stage.name}: {stage.steps} steps")
  print(state_lib.describe(params, stage.trains), flush=True)
  trained, frozen = state_lib.split(params, stage.trains)
  source = _loader(experiment, stage, workspace)
  loop = _loop(experiment, stage, model, runner, source, workspace, observers)
  state = _first_state(loop, optimizer, trained)
  del params, trained  # or they would lie on the devices beside the state
  try:
    # The sharded frozen leaves live as long as the loop: under pmap they are a
    # copy on every device, beside the whole ones that come after it.
    state = runner.to_save(
      loop.run(state, runner.shard(frozen), jax.random.key(experiment.seed))
    )
    if loop.validator is not None:
      state = loop.validator.best_of(state, runner.to_restore(state))
  finally:
    source.close()
    loop.recovery.close()
    if loop.validator is not None:
      loop.validator.close()
  for sample, reason in source.counters()["skipped_ids"].items():
    print(f"left out: {sample}: {reason}")
  return state_lib.merge(state.params, frozen)


def _first_state(
  loop: trainer.Loop,
  optimizer: optax.GradientTransformation,
  trained: array_types.Tree,
) -> state_lib.State:
  """The state before the first step; its shapes, where a checkpoint has it."""

  def make(leaves):
    return state_lib.create(leaves, optimizer)

  if loop.recovery.has_checkpoint():
    return jax.eval_shape(make, trained)
  return loop.runner.init_sharded(make, trained)


def _loop(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  runner: runner_lib.Runner,
  source: loader.Loader,
  workspace: setup.Workspace,
  observers: Observers,
) -> trainer.Loop:
  own = workspace.workdir / "checkpoints" / stage.name
  checkpoints = checkpoint.StageCheckpoints(own, experiment.saving.keep)
  table = workspace.records.table
  _require_same_tasks(checkpoints, table, own)
  return trainer.Loop(
    stage=stage,
    runner=runner,
    loader=source,
    task_names=tuple(table),
    recovery=recovery.CheckpointRecovery(
      checkpoints,
      experiment.saving.every,
      runner,
      source,
      observers.preemption,
      note={_TASKS: task_files.to_json(table)},
    ),
    log=step_log.StepLog(
      stage,
      experiment.logging,
      observers.writer,
      runner,
      optim.schedule(stage.optimizer, stage.steps),
      tuple(table),
      monitor.of(model, len(table)),
    ),
    validator=validators.make(experiment, stage, model, runner, workspace),
    callbacks=(
      compilation.Monitor(stage.name),
      profiling.Profiler(
        observers.profile, workspace.workdir / "profile" / stage.name
      ),
    ),
  )


def _require_same_tasks(
  checkpoints: checkpoint.StageCheckpoints,
  table: tasks.Tasks,
  folder: files.Path,
) -> None:
  """Raises UserError unless a stage goes on with the tasks that it began with.

  Not even another task may come: batches carry numbers by the table.
  """
  note = checkpoints.note()
  if note is None:
    return
  here, there = f"the checkpoint {folder}", "the records and the task file"
  # Earlier versions, which knew the built-in tasks alone, noted none.
  before = task_files.read_table(note.get(_TASKS, {}), here)
  before.joined(table, here, there)
  names = [{task.name for task in rows.own} for rows in (before, table)]
  for name in sorted(names[0] ^ names[1]):
    has, lacks = (here, there) if name in names[0] else (there, here)
    raise errors.UserError(
      f"task {name} is in {has} and not in {lacks}: go on with the same tasks,"
      " or start in another --workdir"
    )


def _loader(
  experiment: configs.Experiment,
  stage: configs.Stage,
  workspace: setup.Workspace,
) -> loader.Loader:
  return pipeline.train_loader(
    workspace.records,
    workspace.tokenizer,
    experiment.data,
    experiment.model,
    stage.rows,
    mixture=stage.mixture,
    targets=stage.targets,
    process_index=hosts.index(),
    process_count=hosts.count(),
  )

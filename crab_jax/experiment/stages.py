"""A stage of training: what it starts from, its loop, what it hands on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import optax

from crab_jax import array_types
from crab_jax import configs
from crab_jax.data import loader
from crab_jax.data import pipeline
from crab_jax.experiment import parameters
from crab_jax.experiment import resumption
from crab_jax.experiment import setup
from crab_jax.experiment import validators
from crab_jax.planning import chips
from crab_jax.planning import flops
from crab_jax.routers import monitor
from crab_jax.training import checkpoint
from crab_jax.training import compilation
from crab_jax.training import health
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


@dataclasses.dataclass(frozen=True)
class Observers:
  """What all stages of a run share beside their data: log, stop, traces."""

  preemption: preemption.Handler
  writer: metrics.Writer
  profile: profiling.Window | None = None  # steps of every stage to trace


@dataclasses.dataclass(frozen=True)
class Trained:
  """What one stage hands on to the next.

  Attributes:
    params: all parameters.
    base: which parameters the run began with (`parameters.origin`).
    changes: settings that were changed while stages trained, as sentences.
  """

  params: array_types.Tree
  base: str
  changes: tuple[str, ...] = ()


def train(
  experiment: configs.Experiment,
  stage: configs.Stage,
  before: Trained | None,
  workspace: setup.Workspace,
  observers: Observers,
  allowed: Sequence[str] = (),
) -> Trained:
  """Trains one stage, or goes on with it.

  Args:
    experiment: the settings.
    stage: one of its stages.
    before: what the stage before it made; None: it is the first.
    workspace: records and tokenizer.
    observers: log, stop, traces.
    allowed: settings that may differ from the checkpoint's (`resumption`).

  Raises:
    UserError: whatever a user can cause.
    Stopped: SIGTERM came; the state is saved.
  """
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
  if before is None:
    params = parameters.base(experiment, runner)
    before = Trained(params, parameters.origin(experiment, params))
  # Every stage: an earlier one may have trained kernels, which are no int8.
  params = parameters.stored(model, before.params, runner)
  if "adapter" in stage.groups:
    params = parameters.with_adapter(model, params, experiment.seed, runner)
  print(f"stage {stage.name}: {stage.steps} steps")
  print(state_lib.describe(params, stage.trains), flush=True)
  # Apart, so that optimizer and checkpoint hold the trainable leaves alone.
  trained, frozen = state_lib.split(params, stage.trains)
  now = resumption.settings(experiment, stage, workspace, before.base)
  base, changes = before.base, before.changes
  source = _loader(experiment, stage, workspace)
  saved, note = _recovery(
    experiment, stage, runner, source, workspace, observers, now, allowed
  )
  loop = _loop(
    experiment, stage, model, runner, source, workspace, observers, saved
  )
  state = _first_state(loop, optimizer, trained)
  # Or they would lie on the devices beside the state.
  del before, params, trained
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
  new = [f"stage {stage.name}: {x}" for x in resumption.changes(note)]
  params = state_lib.merge(state.params, frozen)
  return Trained(params, base, (*changes, *new))


def _first_state(
  loop: trainer.Loop,
  optimizer: optax.GradientTransformation,
  trained: array_types.Tree,
) -> state_lib.State:
  """The state before the first step; its shapes, where a checkpoint has it."""

  def make(leaves):
    return state_lib.create(leaves, optimizer)

  if loop.recovery.has_checkpoint():
    # The checkpoint brings the values: Adam's moments need not be made first.
    return jax.eval_shape(make, trained)
  return loop.runner.init_sharded(make, trained)


def _recovery(
  experiment: configs.Experiment,
  stage: configs.Stage,
  runner: runner_lib.Runner,
  source: loader.Loader,
  workspace: setup.Workspace,
  observers: Observers,
  now: dict[str, Any],
  allowed: Sequence[str],
) -> tuple[recovery.CheckpointRecovery, dict[str, Any]]:
  """What saves the stage, and the note that it leaves in every checkpoint."""
  own = workspace.workdir / "checkpoints" / stage.name
  checkpoints = checkpoint.StageCheckpoints(own, experiment.saving.keep)
  note = resumption.note(
    checkpoints.note(), now, workspace.records.table, own, allowed
  )

  def scheduled(state: state_lib.State) -> state_lib.State:
    # The state brings the length of its schedule along.
    opt_state = optim.rescheduled(state.opt_state, stage.optimizer, stage.steps)
    return state.replace(opt_state=opt_state)

  made = recovery.CheckpointRecovery(
    checkpoints,
    experiment.saving.every,
    runner,
    source,
    observers.preemption,
    note,
    scheduled,
  )
  return made, note


def _loop(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  runner: runner_lib.Runner,
  source: loader.Loader,
  workspace: setup.Workspace,
  observers: Observers,
  saved: recovery.Recovery,
) -> trainer.Loop:
  table = workspace.records.table
  return trainer.Loop(
    stage=stage,
    runner=runner,
    loader=source,
    task_names=tuple(table),
    recovery=saved,
    log=step_log.StepLog(
      stage,
      experiment.logging,
      observers.writer,
      runner,
      optim.schedule(stage.optimizer, stage.steps),
      tuple(table),
      monitor.of(model, len(table)),
      _peak(model, stage),
    ),
    validator=validators.make(experiment, stage, model, runner, workspace),
    callbacks=(
      compilation.Monitor(stage.name),
      profiling.Profiler(
        observers.profile, workspace.workdir / "profile" / stage.name
      ),
    ),
  )


def _peak(model: configs.Model, stage: configs.Stage) -> health.Peak:
  """What a step asks for, and what the devices of all hosts could do."""
  chip = chips.of_kind(jax.local_devices()[0].device_kind)
  asked = flops.train_step(model, stage.rows, stage.trains).total
  could = None if chip is None else chip.flops * jax.device_count()
  return health.Peak(asked, could)


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

"""One run of a study: tune an adapter on its datasets, then evaluate it.

It is trained by the loop of `training.trainer`, without checkpoints: runs are
short, and one that was killed is begun again.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Mapping

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.ablation import budget
from crab_jax.ablation import grid
from crab_jax.ablation import programs as programs_lib
from crab_jax.ablation import run_evaluation
from crab_jax.data import loader
from crab_jax.data import media_cache
from crab_jax.data import pipeline
from crab_jax.experiment import setup
from crab_jax.training import optim
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import trainer


class LastLosses:
  """A callback that keeps the losses of the last steps."""

  def __init__(self, count: int):
    self._losses: collections.deque[jax.Array] = collections.deque(maxlen=count)

  def before_step(self, step: int) -> None:
    pass

  def after_step(self, step: int, arguments, sums) -> None:
    # On the device: to read it at once would make the host wait at every step.
    self._losses.append(sums["loss"])

  def close(self) -> None:
    pass

  def mean(self) -> float:
    """Nats a supervised token, float64."""
    # Under pmap every device has a copy in front: the first one will do.
    return float(np.mean([np.ravel(value)[0] for value in self._losses]))


class Executor:
  """Executes the runs of a study, one after the other, in this process.

  Args:
    experiment: the settings; its `transfer` is set.
    workspace: records and tokenizer.
    base: parameters of the frozen backbone.
  """

  def __init__(
    self,
    experiment: configs.Experiment,
    workspace: setup.Workspace,
    base: array_types.Tree,
  ):
    self.study = experiment.required_transfer
    available = [
      task
      for task, splits in workspace.records.splits().items()
      if splits.get("train")
    ]
    grid.check(self.study, dict.fromkeys(available))
    chosen = self.study.tasks or available
    self.table = workspace.records.table
    self.groups = self.table.by_family(chosen)
    self.tasks = grid.datasets(self.groups)
    self._experiment, self._workspace = experiment, workspace
    # What of the base every run trains with its adapter, and what none does.
    self._tuned, self._frozen = state_lib.split(base, self.study.trains)
    self._sharded: array_types.Tree | None = None
    self._cache = media_cache.Cache(int(1e9 * self.study.cache_gb))
    self._programs: dict[tuple[str, float], programs_lib.Programs] = {}
    self._steps: dict[tuple[str, tuple[str, ...], int], int] = {}
    self._evaluation = run_evaluation.Evaluation(
      experiment, workspace, self.tasks
    )

  @functools.cached_property
  def _sizes(self) -> Mapping[tuple[str, str], budget.Sizes]:
    return budget.measure(
      self._workspace.records,
      self._workspace.tokenizer,
      self._experiment,
      self.tasks,
    )

  def steps(self, run: grid.Run) -> int:
    """Updates of a run."""
    count = run.samples or self.study.samples
    counted = run.targets, run.counted(self.tasks), count
    if counted not in self._steps:
      sizes = [self._sizes[run.targets, task] for task in counted[1]]
      self._steps[counted] = budget.steps(sizes, self.study.rows, count)
    return self._steps[counted]

  def execute(self, run: grid.Run, rate: float | None = None) -> dict:
    """Trains and evaluates a run; the result is plain JSON.

    Args:
      run: of the study.
      rate: the peak of its learning rate; None: that of the optimizer.

    Returns:
      "run" and its "steps"; "seconds" of all and of the "training" alone;
      "parameters" and "heads" of the adapter; "samples" seen (dataset ->
      number); "loss" of the last steps in training; by dataset the held-out
      "losses" (nats a supervised token) and "scores"; with a router and all
      datasets, "gates". A run that tries a rate answers no clips, its "scores"
      are empty; where its loss was not finite, so are its "losses".

    Raises:
      UserError: the loss is not finite, of a run that tries no rate.
    """
    start = time.perf_counter()
    rate = self.study.optimizer.peak if rate is None else rate
    programs = self._of(run.method, rate)
    try:
      tuned, loss, seen = self._tune(run, programs, rate)
    except trainer.NotFinite:
      if run.rate is None:
        raise
      return self._result(run, programs, rate, start, time.perf_counter())
    trained = time.perf_counter()
    params = state_lib.merge(tuned, self._frozen)
    found = {
      "samples": seen,
      "loss": loss,
      "losses": self._evaluation.losses(run, programs, params),
    }
    if run.rate is None:
      found["scores"] = self._evaluation.scores(run, programs, params)
      if programs.gate_sums is not None and run.label == grid.ALL:
        found["gates"] = self._evaluation.gates(run, programs, params)
    return self._result(run, programs, rate, start, trained, **found)

  def _result(
    self,
    run: grid.Run,
    programs: programs_lib.Programs,
    rate: float,
    start: float,
    trained: float,
    **found,
  ) -> dict:
    """The result of a run; what is not found is empty."""
    return {
      "run": dataclasses.asdict(run),
      "rate": rate,
      "steps": self.steps(run),
      "parameters": grid.parameters(programs.model),
      "heads": programs.model.required_adapter.heads,
      **{"samples": {}, "loss": None, "losses": {}, "scores": {}},
      **found,
      "training": round(trained - start, 2),
      "seconds": round(time.perf_counter() - start, 2),
    }

  def _of(self, method: str, rate: float) -> programs_lib.Programs:
    key = method, rate
    if key not in self._programs:
      # The rate is a constant of the compiled step.
      study = dataclasses.replace(self.study, optimizer=self._optimizer(rate))
      self._programs[key] = programs_lib.make(
        dataclasses.replace(self._experiment, transfer=study),
        method,
        self._workspace.tokenizer,
        self._evaluation.longest,
        self.table,
        self._cache,
      )
    return self._programs[key]

  def _optimizer(self, rate: float) -> configs.Optimizer:
    return dataclasses.replace(self.study.optimizer, peak=rate)

  def _tune(self, run: grid.Run, programs: programs_lib.Programs, rate: float):
    """What it trained, the mean loss of its last steps, the samples it saw."""
    stage, runner = self._stage(run, rate), programs.runner
    optimizer = optim.optimizer(stage.optimizer, stage.steps)
    begun = state_lib.merge(programs.adapter(run.seed), self._tuned)
    state = state_lib.create(begun, optimizer)
    last_losses = LastLosses(max(stage.steps // 10, 1))
    batches = self._batches(run, stage)
    loop = trainer.Loop(
      stage=stage,
      runner=runner,
      loader=batches,
      task_names=tuple(self.table),
      callbacks=(last_losses,),
      # At the end alone: to wait for each step takes 5 % of the small form's
      # time (2 CPU cores, 27 ms a step), and a loss that is not finite stays so.
      check_every=stage.steps,
      remedy="lower Transfer.optimizer's peak, or Transfer.rates",
    )
    try:
      frozen = self._on_devices(runner)
      state = loop.run(state, frozen, jax.random.key(run.seed))
      seen = batches.counters()["samples"]
    finally:
      batches.close()
    return runner.fetch(state.params), last_losses.mean(), seen

  def _stage(self, run: grid.Run, rate: float) -> configs.Stage:
    """The training of a run, as the stage of an experiment."""
    return configs.Stage(
      run.name,
      self.steps(run),
      self.study.trains,
      optimizer=self._optimizer(rate),
      mixture=dict.fromkeys(run.tasks, 1.0),
      rows=self.study.rows,
      targets=run.targets,
    )

  def _on_devices(self, runner: runner_lib.Runner) -> array_types.Tree:
    """What no run trains, sharded once: it is that of every method."""
    if self._sharded is None:
      self._sharded = runner.shard(self._frozen)
    return self._sharded

  def _batches(self, run: grid.Run, stage: configs.Stage) -> loader.Loader:
    """Training batches; a dataset comes in the same order in all runs."""
    # The mixture is not shuffled once more: its window would hold several epochs
    # of a dataset that is alone, and show some records twice before others once.
    data = dataclasses.replace(self._experiment.data, shuffle_window=1)
    return pipeline.train_loader(
      self._workspace.records,
      self._workspace.tokenizer,
      data,
      self._experiment.model,
      stage.rows,
      mixture=stage.mixture,
      targets=stage.targets,
      seed=data.seed + run.seed,
      cache=None if data.workers else self._cache,
    )

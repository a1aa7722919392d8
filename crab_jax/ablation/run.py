"""One cell: tune an adapter on its datasets, answer held-out clips, score.

Nothing but the result is kept: cells are short, and one that was killed is
begun again.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Iterator
from collections.abc import Mapping

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.ablation import budget
from crab_jax.ablation import grid
from crab_jax.ablation import programs as programs_lib
from crab_jax.data import loader
from crab_jax.data import media_cache
from crab_jax.data import pipeline
from crab_jax.data import samples
from crab_jax.evaluation import held_out
from crab_jax.evaluation.scoring import scores as scores_lib
from crab_jax.experiment import setup
from crab_jax.routers import gates
from crab_jax.training import optim
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import trainer


class LastLosses:
  """A callback that keeps the losses of the last steps.

  It keeps them where they are: to read one at once would make the host wait
  for the devices at every step.
  """

  def __init__(self, count: int):
    self._losses: collections.deque[jax.Array] = collections.deque(maxlen=count)

  def before_step(self, step: int) -> None:
    pass

  def after_step(self, step: int, arguments, sums) -> None:
    self._losses.append(sums["loss"])

  def close(self) -> None:
    pass

  def mean(self) -> float:
    """Nats a supervised token, float64."""
    return float(np.mean([np.ravel(value)[0] for value in self._losses]))


class Bench:
  """Runs the cells of a study, one after the other, in this process.

  Args:
    experiment: the settings; its `transfer` is set.
    place: records and tokenizer.
    base: parameters of the frozen backbone.
  """

  def __init__(
    self,
    experiment: configs.Experiment,
    place: setup.Place,
    base: array_types.Tree,
  ):
    self.study = experiment.required_transfer
    available = [
      task
      for task, splits in place.records.splits().items()
      if splits.get("train")
    ]
    grid.check(self.study, dict.fromkeys(available))
    chosen = self.study.tasks or available
    self._table = place.records.table
    self.groups = self._table.by_family(chosen)
    self.tasks = grid.datasets(self.groups)
    self._experiment, self._place, self._base = experiment, place, base
    self._sharded: array_types.Tree | None = None
    self._memory = media_cache.Memory(int(1e9 * self.study.memory))
    self._programs: dict[str, programs_lib.Programs] = {}
    self._steps: dict[tuple[str, tuple[str, ...]], int] = {}
    self._validation: dict[tuple[str, str], list[array_types.Batch]] = {}

  @functools.cached_property
  def _sizes(self) -> Mapping[tuple[str, str], budget.Sizes]:
    return budget.measure(
      self._place.records, self._place.tokenizer, self._experiment, self.tasks
    )

  def steps(self, cell: grid.Cell) -> int:
    """Updates of a cell."""
    counted = cell.targets, cell.counted(self.tasks)
    if counted not in self._steps:
      sizes = [self._sizes[cell.targets, task] for task in counted[1]]
      self._steps[counted] = budget.steps(
        sizes, self.study.rows, self.study.samples
      )
    return self._steps[counted]

  def run(self, cell: grid.Cell) -> dict:
    """Trains and evaluates a cell; the result is plain JSON.

    Returns:
      "cell" and its "steps"; "seconds" of all and of the "training" alone;
      "parameters" and "heads" of the adapter; "samples" seen (dataset ->
      number); "loss" of the last steps in training; by dataset the held-out
      "losses" (nats a supervised token) and "scores"; with a router and all
      datasets, "gates".

    Raises:
      UserError: the loss is not finite.
    """
    start = time.perf_counter()
    programs = self._of(cell.method)
    adapter, loss, seen = self._tune(cell, programs)
    trained = time.perf_counter()
    params = state_lib.merge(adapter, self._base)
    result = {
      "cell": dataclasses.asdict(cell),
      "steps": self.steps(cell),
      "parameters": grid.parameters(programs.model),
      "heads": programs.model.required_adapter.heads,
      "samples": seen,
      "loss": loss,
      "losses": self._losses(cell, programs, params),
      "scores": self._scores(cell, programs, params),
    }
    if programs.watch is not None and cell.label == grid.ALL:
      result["gates"] = self._gates(cell, programs, params)
    return {
      **result,
      "training": round(trained - start, 2),
      "seconds": round(time.perf_counter() - start, 2),
    }

  def _of(self, method: str) -> programs_lib.Programs:
    if method not in self._programs:
      self._programs[method] = programs_lib.make(
        self._experiment,
        method,
        self._place.tokenizer,
        self._longest,
        self._table,
        self._memory,
      )
    return self._programs[method]

  def _tune(self, cell: grid.Cell, programs: programs_lib.Programs):
    """The adapter, the mean loss of its last steps, the samples it saw."""
    stage, runner = self._stage(cell), programs.runner
    optimizer = optim.optimizer(stage.optimizer, stage.steps)
    state = state_lib.create(programs.adapter(cell.seed), optimizer)
    last_losses = LastLosses(max(stage.steps // 10, 1))
    batches = self._batches(cell, stage)
    loop = trainer.Loop(
      stage=stage,
      runner=runner,
      loader=batches,
      task_names=tuple(self._table),
      callbacks=(last_losses,),
      remedy="lower Transfer.optimizer's peak",
    )
    try:
      state = loop.run(state, self._frozen(runner), jax.random.key(cell.seed))
      seen = batches.counters()["samples"]
    finally:
      batches.close()
    return runner.fetch(state.params), last_losses.mean(), seen

  def _stage(self, cell: grid.Cell) -> configs.Stage:
    """The training of a cell, as the stage of an experiment."""
    return configs.Stage(
      cell.name,
      self.steps(cell),
      "adapter",
      optimizer=self.study.optimizer,
      mixture=dict.fromkeys(cell.tasks, 1.0),
      rows=self.study.rows,
      targets=cell.targets,
    )

  def _frozen(self, runner: runner_lib.Runner) -> array_types.Tree:
    """The backbone on the devices, sharded once: it is that of every method."""
    if self._sharded is None:
      self._sharded = runner.shard(self._base)
    return self._sharded

  def _batches(self, cell: grid.Cell, stage: configs.Stage) -> loader.Loader:
    """Training batches; a dataset comes in the same order in all cells.

    The mixture itself is not shuffled once more: its window would hold several
    epochs of a dataset that is alone, and show some records twice before
    others once.
    """
    data = dataclasses.replace(self._experiment.data, shuffle_window=1)
    return pipeline.train_loader(
      self._place.records,
      self._place.tokenizer,
      data,
      self._experiment.model,
      stage.rows,
      mixture=stage.mixture,
      targets=stage.targets,
      seed=data.seed + cell.seed,
      max_bad_share=data.max_bad_share,
      max_bad_task_share=data.max_bad_task_share,
      memory=None if data.workers else self._memory,
    )

  def _held_out(self, targets: str, task: str) -> list[array_types.Batch]:
    """Validation batches of a dataset, kept; [] if it has no such split."""
    if (targets, task) not in self._validation:
      found = list(self._read_validation(targets, task))
      self._validation[targets, task] = found
    return self._validation[targets, task]

  def _read_validation(
    self, targets: str, task: str
  ) -> Iterator[array_types.Batch]:
    if not self._place.records.splits()[task].get("val"):
      return
    seen = 0
    for batch in pipeline.one_pass(
      self._place.records,
      self._place.tokenizer,
      self._experiment.data,
      self._experiment.model,
      self.study.rows,
      mixture={task: 1.0},
      targets=targets,
    ):
      yield batch
      seen += int((batch["sample_ids"][..., 0] >= 0).sum())
      if seen >= self.study.loss_samples:
        return

  def _losses(self, cell, programs, params) -> dict[str, float]:
    """Dataset -> nats a supervised token on validation records."""
    found = {}
    for task in cell.tasks:
      number, total, count = self._table.number(task), 0.0, 0.0
      for batch in self._held_out(cell.targets, task):
        sums = programs.loss_sums(params, batch)
        total += float(sums["task_nll"][number])
        count += float(sums["task_tokens"][number])
      if count:
        found[task] = total / count
    return found

  @functools.cached_property
  def _clips(self) -> held_out.Clips:
    """The held-out clips of the whole study."""
    config = dataclasses.replace(self._experiment.evaluation, tasks=self.tasks)
    return held_out.clips(self._place.records, config)

  @functools.cached_property
  def _longest(self) -> samples.Lengths:
    """The largest of every size over all prompts."""
    maker = samples.sample_maker(
      self._place.tokenizer,
      self._experiment.data,
      self._experiment.model,
      self._table,
    )
    found = [maker.prompt_lengths(record) for record in self._clips]
    return samples.Lengths(
      *(
        max(getattr(lengths, field.name) for lengths in found)
        for field in dataclasses.fields(samples.Lengths)
      )
    )

  def _scores(self, cell, programs, params) -> dict[str, dict]:
    """Dataset -> its primary metric on held-out clips, and chance."""
    clips = self._clips.of(*cell.tasks)
    rows = collections.defaultdict(list)
    for row in programs.answerer.answers(clips, params):
      rows[row["task"]].append(row)
    found = {}
    for task in cell.tasks:
      score = scores_lib.score_rows(self._table[task], rows[task], clips.find)
      names = ("metric", "value", "chance", "n", "parse_failures")
      found[task] = {name: getattr(score, name) for name in names}
    return found

  def _gates(self, cell, programs, params) -> dict[str, list[float]]:
    """Dataset -> its mean gates over validation records, all projections."""
    total = None
    for task in cell.tasks:
      for batch in self._held_out(cell.targets, task):
        found = programs.watch(params, batch)
        total = found if total is None else total + found
    if total is None:
      return {}
    heads = programs.model.required_adapter.heads
    vectors = gates.vectors(total, heads, len(self._table))
    return {
      task: np.round(vectors[self._table.number(task)], 6).tolist()
      for task in cell.tasks
    }

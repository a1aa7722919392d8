"""What a trained run is judged by: held-out losses, scores, gates."""

import collections
import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.ablation import grid
from crab_jax.ablation import programs as programs_lib
from crab_jax.data import pipeline
from crab_jax.data import samples
from crab_jax.evaluation import held_out
from crab_jax.evaluation.scoring import scores as scores_lib
from crab_jax.experiment import setup
from crab_jax.routers import gates as gates_lib


class Evaluation:
  """Evaluates runs; what it reads for one it keeps for the others.

  Args:
    experiment: the settings; its `transfer` is set.
    workspace: records and tokenizer.
    tasks: the datasets of the study.
  """

  def __init__(
    self,
    experiment: configs.Experiment,
    workspace: setup.Workspace,
    tasks: tuple[str, ...],
  ):
    self._experiment, self._workspace = experiment, workspace
    self._study, self._tasks = experiment.required_transfer, tasks
    self._table = workspace.records.table
    self._validation: dict[tuple[str, str], list[array_types.Batch]] = {}

  def _held_out(self, targets: str, task: str) -> list[array_types.Batch]:
    """Validation batches of a dataset, kept; [] if it has no such split."""
    if (targets, task) not in self._validation:
      found = list(self._read_validation(targets, task))
      self._validation[targets, task] = found
    return self._validation[targets, task]

  def _read_validation(
    self, targets: str, task: str
  ) -> Iterator[array_types.Batch]:
    if not self._workspace.records.splits()[task].get("val"):
      return
    seen = 0
    for batch in pipeline.one_pass(
      self._workspace.records,
      self._workspace.tokenizer,
      self._experiment.data,
      self._experiment.model,
      self._study.rows,
      mixture={task: 1.0},
      targets=targets,
    ):
      yield batch
      seen += int((batch["sample_ids"][..., 0] >= 0).sum())
      if seen >= self._study.loss_samples:
        return

  def losses(
    self,
    run: grid.Run,
    programs: programs_lib.Programs,
    params: array_types.Tree,
  ) -> dict[str, float]:
    """Dataset -> nats a supervised token on validation records."""
    found = {}
    for task in run.tasks:
      number, total, count = self._table.number(task), 0.0, 0.0
      for batch in self._held_out(run.targets, task):
        sums = programs.loss_sums(params, batch)
        total += float(sums["task_nll"][number])
        count += float(sums["task_tokens"][number])
      if count:
        found[task] = total / count
    return found

  @functools.cached_property
  def _clips(self) -> held_out.Clips:
    """The held-out clips of the whole study."""
    config = dataclasses.replace(self._experiment.evaluation, tasks=self._tasks)
    return held_out.clips(self._workspace.records, config)

  @functools.cached_property
  def longest(self) -> samples.Lengths:
    """The largest of every size over all prompts."""
    maker = samples.sample_maker(
      self._workspace.tokenizer,
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

  def scores(
    self,
    run: grid.Run,
    programs: programs_lib.Programs,
    params: array_types.Tree,
  ) -> dict[str, dict]:
    """Dataset -> its primary metric on held-out clips, and chance.

    "clips" are the scores of the single clips in the order of their ids, which
    is that of every run: clips of two runs can be compared one by one.
    """
    clips = self._clips.of(*run.tasks)
    rows = collections.defaultdict(list)
    for row in programs.answerer.answers(clips, params):
      rows[row["task"]].append(row)
    found = {}
    for task in run.tasks:
      score = scores_lib.score_rows(
        self._table[task], rows[task], clips.find, released=False
      )
      names = ("metric", "value", "chance", "n", "parse_failures")
      found[task] = {name: getattr(score, name) for name in names}
      clip_rows = sorted(score.rows, key=lambda row: row["id"])
      found[task]["clips"] = [row["score"]["score"] for row in clip_rows]
    return found

  def gates(
    self,
    run: grid.Run,
    programs: programs_lib.Programs,
    params: array_types.Tree,
  ) -> dict[str, list[float]]:
    """Dataset -> its mean gates over validation records, all projections.

    Args:
      run: whose method has a router.
      programs: of its method.
      params: all parameters.
    """
    gate_sums = programs.gate_sums
    assert gate_sums is not None  # the method has a router
    total = None
    for task in run.tasks:
      for batch in self._held_out(run.targets, task):
        found = gate_sums(params, batch)
        total = found if total is None else total + found
    if total is None:
      return {}
    heads = programs.model.required_adapter.heads
    vectors = gates_lib.vectors(total, heads, len(self._table))
    return {
      task: np.round(vectors[self._table.number(task)], 6).tolist()
      for task in run.tasks
    }

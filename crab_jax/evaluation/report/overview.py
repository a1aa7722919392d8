"""The scores at a glance: order, means of families, plots, what is beside."""

import collections
import dataclasses
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
from matplotlib import figure

from crab_jax.data import tasks
from crab_jax.evaluation import unified as unified_lib
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import plots
from crab_jax.evaluation.scoring import scores as scores_lib
from crab_jax.routers import plots as router_plots
from crab_jax.training import validation

Scores = dict[str, scores_lib.TaskScore]
_HELD_OUT = f"{validation.PREFIX}loss"


@dataclasses.dataclass(frozen=True)
class Artefacts:
  """What a report can show beside the scores. Every field may be left out.

  Attributes:
    title: heading of the report.
    about: facts in words, name -> value (checkpoint, step, machine, date).
    lookup: id -> `records.Record`, or None where there is none.
    metrics: lines of metrics.jsonl: {"stage", "step", "loss", ..}.
    gates: name -> mean router gates, float[tasks, heads] or
      float[layers, modules, tasks, heads]; tasks in canonical order.
    notes: sentences that are shown under the table (how files were joined).
    unscored: task -> why it has no score.
    remarks: what could not be scored, in sentences.
    table: the tasks, whose numbers are the rows of `gates`.
    base_alone: task -> score of the base without its adapter, on the same
      clips; empty: it was not asked.
    unified: the answers to scenes that every task asks about; None: there are
      none.
    unified_lookup: as `lookup`, of those scenes.
  """

  title: str = "crab_jax: evaluation"
  about: dict[str, str] = dataclasses.field(default_factory=dict)
  lookup: Callable | None = None
  metrics: list[dict] = dataclasses.field(default_factory=list)
  gates: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  notes: list[str] = dataclasses.field(default_factory=list)
  unscored: dict[str, str] = dataclasses.field(default_factory=dict)
  remarks: list[str] = dataclasses.field(default_factory=list)
  table: tasks.Tasks = tasks.Tasks()
  base_alone: dict[str, float] = dataclasses.field(default_factory=dict)
  unified: unified_lib.Unified | None = None
  unified_lookup: Callable | None = None


def families(
  scores: Scores, base_alone: Mapping[str, float] | None = None
) -> dict[str, dict[str, float]]:
  """Family -> means of its tasks, in canonical order.

  Args:
    scores: task -> its score.
    base_alone: as in `Artefacts`; a family of which every task has one has the
      mean of them beside its value and chance.
  """
  table: dict[str, dict[str, float]] = {}
  found = {score.family for score in scores.values()}
  for family in sorted(found, key=tasks.family_order):
    members = [score for score in scores.values() if score.family == family]
    table[family] = {
      "value": float(np.mean([score.value for score in members])),
      "chance": float(np.mean([score.chance for score in members])),
      "tasks": len(members),
    }
    alone = [(base_alone or {}).get(score.task) for score in members]
    known = [value for value in alone if value is not None]
    if len(known) == len(members):
      table[family]["base_alone"] = float(np.mean(known))
  return table


def ordered(scores: Scores) -> list[scores_lib.TaskScore]:
  """The scores by family, then in the canonical order of tasks."""
  return sorted(
    scores.values(),
    key=lambda score: (
      tasks.family_order(score.family),
      score.definition.order,
    ),
  )


def figures(scores: Scores, artefacts: Artefacts) -> dict[str, figure.Figure]:
  """The plots over all tasks, by file name: scores, loss, router gates."""
  drawn = {"score_against_chance": _scores(scores, artefacts.base_alone)}
  curves = loss_curves(artefacts.metrics)
  if curves:
    held_out = loss_curves(artefacts.metrics, _HELD_OUT)
    drawn["loss_by_stage"] = plots.loss_by_stage(curves, held_out)
  names = list(artefacts.table)
  for name, gates in artefacts.gates.items():
    drawn[f"router_gates_{name}"] = router_plots.mean_gates(gates, names, name)
  return drawn


def _scores(scores: Scores, base_alone: Mapping[str, float]) -> figure.Figure:
  rows = ordered(scores)
  published = {
    model: [
      anchors.of(row.task, row.metric).get(model, {}).get("value")
      for row in rows
    ]
    for model in anchors.columns()
  }
  return plots.score_against_chance(
    [row.task for row in rows],
    np.array([row.value for row in rows]),
    np.array([row.chance for row in rows]),
    [row.family for row in rows],
    published,
    [base_alone.get(row.task) for row in rows],
  )


def loss_curves(
  lines: list[dict], name: str = "loss"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Stage -> (steps, losses) of the lines of metrics.jsonl that have both."""
  points: dict[str, list[tuple[int, float]]] = collections.defaultdict(list)
  for line in lines:
    if line.get(name) is not None and line.get("step") is not None:
      points[str(line.get("stage", ""))].append((line["step"], line[name]))
  found = {}
  for stage, own in points.items():
    steps, losses = np.array(own, float).T
    found[stage] = steps, losses
  return found

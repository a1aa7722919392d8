"""What the report shows of one task: facts, tables, plots and samples."""

import dataclasses
from collections.abc import Callable

import numpy as np

from crab_jax import plotting
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import cards
from crab_jax.evaluation.report import embedded
from crab_jax.evaluation.report import plots
from crab_jax.evaluation.scoring import scores

_SAMPLES = 2  # worst, and best, of each task
_CLASSES = 40  # a larger confusion matrix is not drawn
_MISTAKES = 12  # commonest mistakes that are listed instead


@dataclasses.dataclass(frozen=True)
class Table:
  """A small table: its title, column names (may be none) and rows.

  A row is its name and one value a column: a number, a text, or None for "—".
  """

  title: str
  columns: list[str]
  rows: list[tuple[str, list]]


@dataclasses.dataclass(frozen=True)
class Section:
  """What the page shows of a task.

  Attributes:
    score: its `scores.TaskScore`.
    base_alone: the score without the adapter, or None.
    published: for each of `anchors.columns()`, {"value", "source"} or None.
    facts: name -> words, about the score.
    numbers: name -> number, of the further metrics.
    plots: the confusion matrix, if it is drawn.
    tables: further metrics that are tables.
    drawn: "image" or "events": what a legend must explain; "" for neither.
    cards: the worst and the best samples.
  """

  score: scores.TaskScore
  base_alone: float | None
  published: list[dict | None]
  facts: dict[str, str]
  numbers: dict
  plots: list[embedded.Plot]
  tables: list[Table]
  drawn: str
  cards: list[cards.Card]


def section(
  score: scores.TaskScore,
  lookup: Callable | None,
  base_alone: float | None = None,
) -> Section:
  """The section of one task.

  Args:
    score: of the task, with its rows.
    lookup: id -> `records.Record` or None; None: no pictures, no sound.
    base_alone: the score without the adapter, where it is known.
  """
  known = anchors.of(score.task, score.metric)
  details = {**score.details, **_official_tables(score.official_compatible)}
  confusion = details.pop("confusion", None)
  drawn, mistakes = _confusion(**confusion) if confusion else ([], [])
  return Section(
    score=score,
    base_alone=base_alone,
    published=[known.get(model) for model in anchors.columns()],
    facts=_facts(score),
    numbers={
      _title(name): value
      for name, value in details.items()
      if not isinstance(value, dict)
    },
    plots=drawn,
    tables=mistakes
    + [
      _table(_title(name), value)
      for name, value in details.items()
      if value and isinstance(value, dict)
    ],
    drawn=_drawn(score),
    cards=_cards(score, lookup),
  )


def _title(name: str) -> str:
  return name.replace("_", " ")


def _drawn(score: scores.TaskScore) -> str:
  if score.definition.visual == "image":
    return "image"
  return "events" if score.definition.kind == "events" else ""


def _cards(
  score: scores.TaskScore, lookup: Callable | None
) -> list[cards.Card]:
  worst, best = cards.pick(score.rows, _SAMPLES)
  alike = best and worst[0]["score"]["score"] == best[0]["score"]["score"]
  names = ("", "") if alike else ("worst", "best")
  return [
    cards.card(
      score.definition, name, row, lookup(row["id"]) if lookup else None
    )
    for name, rows in zip(names, (worst, best), strict=True)
    for row in rows
  ]


def _facts(score: scores.TaskScore) -> dict[str, str]:
  return {
    score.metric: f"{score.value:.3f}",
    "chance": f"{score.chance:.3f} ({score.guess})",
    "official-compatible": _official(score.official_compatible),
    "n": str(score.n),
    "not read": str(score.parse_failures),
    "partly read": str(score.partly_read),
    "failed": str(score.failed),
    "unscored": str(score.unscored),
    "duplicates": str(score.duplicates),
    "lenient": str(score.lenient),
    "split": score.split,
  }


def _official(official: dict) -> str:
  """The numbers under the official conventions, in words."""
  shown_before = ("metric", "value", "n", "dropped", official.get("metric"))
  others = [
    f"{_title(name)} {shown(value)}"
    for name, value in official.items()
    if name not in shown_before and not isinstance(value, dict)
  ]
  name = f"{official['metric']} " if "metric" in official else ""
  counts = f"n = {official['n']}, {official['dropped']} dropped"
  words = "; ".join([counts, ", ".join(others)] if others else [counts])
  return f"{name}{official['value']:.3f} ({words})"


def shown(value) -> str:
  """A value in a table: three decimals, or a dash where it is not defined."""
  if value is None:
    return "—"
  return f"{value:.3f}" if isinstance(value, float) else str(value)


def _official_tables(official: dict) -> dict:
  """The tables among the numbers under the official conventions."""
  return {
    f"official-compatible {name}": value
    for name, value in official.items()
    if isinstance(value, dict)
  }


def _table(title: str, values: dict) -> Table:
  """A dict as a table; where its values are dicts, their keys are columns."""
  first = next(iter(values.values()))
  rows = [
    (name, list(value.values()) if isinstance(value, dict) else [value])
    for name, value in values.items()
  ]
  return Table(title, list(first) if isinstance(first, dict) else [], rows)


def _confusion(
  labels: list[str], counts: list[list[int]]
) -> tuple[list[embedded.Plot], list[Table]]:
  """The matrix as a plot; of many classes only the commonest mistakes."""
  if len(labels) <= _CLASSES:
    png = plotting.png(plots.confusion(labels, np.array(counts)))
    return [embedded.plot(png, "confusion matrix")], []
  names = [*labels, "other"]
  mistakes = [
    (f"{true} → {names[column]}", [count])
    for row, (true, line) in enumerate(zip(labels, counts, strict=True))
    for column, count in enumerate(line)
    if count and column != row
  ]
  mistakes.sort(key=lambda mistake: -mistake[1][0])
  title = "commonest mistakes: true → answered"
  return [], [Table(title, [], mistakes[:_MISTAKES])] if mistakes else []

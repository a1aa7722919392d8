"""The pictures of a study's report, drawn from its results by `plots`."""

import numpy as np
from matplotlib import figure

from crab_jax.ablation import comparison
from crab_jax.ablation import plots
from crab_jax.ablation import relation

_UNITS = {
  "score": "gain in the primary metric (joint − alone)",
  "loss": "gain: log(loss alone / loss together)",
}


def draw(results: comparison.Results) -> dict[str, figure.Figure]:
  """All pictures, by name."""
  study = results.study
  drawn = {"shares": _shares(results)}
  for targets in study.targets:
    for measure in comparison.MEASURES:
      found = {
        method: results.gains(method, targets, measure)
        for method in study.methods
      }
      if np.isnan(list(found.values())).any():
        continue
      drawn[f"gains_{measure}_{targets}"] = plots.gains(
        found, list(results.tasks), results.families(), _UNITS[measure]
      )
    drawn[f"scores_{targets}"] = _scores(results, targets)
  for method in study.pairs:
    for measure in comparison.MEASURES:
      drawn[f"pairs_{measure}_{method}"] = _pairs(results, method, measure)
    points = relation.points(results, method)
    if points is not None:
      drawn[f"distance_{method}"] = _distance(points)
  if set(study.targets) == {"reasoning", "answer"}:
    for method in study.methods:
      drawn[f"reasoning_{method}"] = _reasoning(results, method)
  return drawn


def _shares(results: comparison.Results) -> figure.Figure:
  panels: dict[str, dict[str, list]] = {}
  for row in comparison.headline(results):
    title = f"{row.measure}: {comparison.READING_TITLES[row.reading]}"
    kinds = panels.setdefault(title, {})
    kinds.setdefault(row.targets, []).append(tuple(row.positive))
  return plots.shares(panels, list(results.study.methods))


def _scores(results: comparison.Results, targets: str) -> figure.Figure:
  names = ["alone", *results.study.methods]
  title = "primary metric, mean over seeds; blue: above training alone"
  return plots.table(
    results.mean_scores(targets), list(results.tasks), names, True, title
  )


def _pairs(results, method: str, measure: str) -> figure.Figure:
  names, gains = results.pairs(method, measure)
  columns = [f"+ {name}" for name in names]
  title = f"{method}: a row's {_UNITS[measure]},\nfrom another family"
  return plots.table(gains.mean(0), names, columns, False, title)


def _distance(points: relation.Points) -> figure.Figure:
  return plots.scatter(
    points.distances,
    points.gains,
    points.names,
    ("distance of the families' mean gates", "gain of the pair in log loss"),
    f"rank correlation {points.correlation:+.2f}",
  )


def _reasoning(results: comparison.Results, method: str) -> figure.Figure:
  bare, full = (
    results.joint(method, targets, "score").mean(0)
    for targets in ("answer", "reasoning")
  )
  labels = ("bare answers", "explicit reasoning")
  unit = f"primary metric, {method}"
  return plots.dumbbells(bare, full, list(results.tasks), labels, unit)

"""The report of a study: report.json, report.md and its pictures."""

from collections.abc import Mapping

import numpy as np
from matplotlib import figure

from crab_jax import configs
from crab_jax import files
from crab_jax import plotting
from crab_jax.ablation import comparison
from crab_jax.ablation import grid
from crab_jax.ablation import plots
from crab_jax.ablation import relation
from crab_jax.ablation import statistics

_PLOTS = "plots"
_UNITS = {
  "score": "gain in the primary metric (joint − alone)",
  "loss": "gain: log(loss alone / loss together)",
}
_READINGS = {
  "samples": "same samples of the dataset",
  "steps": "same total steps",
}


def write(
  out: files.Path,
  study: configs.Transfer,
  groups: grid.Groups,
  runs: Mapping[grid.Run, dict],
) -> files.Path:
  """Writes the report; returns the path of report.md.

  Args:
    out: the folder of the study.
    study: the settings.
    groups: the datasets compared.
    runs: the result of every run.
  """
  results = comparison.Results(study, groups, runs)
  files.make_folder(out / _PLOTS)
  drawn = figures(results)
  for name, picture in drawn.items():
    files.write_bytes(out / _PLOTS / f"{name}.png", plotting.png(picture))
  files.write_json(out / "report.json", to_json(results))
  path = out / "report.md"
  files.write_text(path, to_markdown(results, list(drawn)))
  return path


def figures(results: comparison.Results) -> dict[str, figure.Figure]:
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
        found, list(results.tasks), _families(results), _UNITS[measure]
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


def _families(results: comparison.Results) -> list[str]:
  return [family for family, own in results.groups.items() for _ in own]


def _shares(results: comparison.Results) -> figure.Figure:
  panels: dict[str, dict[str, list]] = {}
  for row in comparison.headline(results):
    title = f"{row.measure}: {_READINGS[row.reading]}"
    kinds = panels.setdefault(title, {})
    kinds.setdefault(row.targets, []).append(tuple(row.positive))
  return plots.shares(panels, list(results.study.methods))


def _means(results: comparison.Results, targets: str) -> np.ndarray:
  """Mean scores [datasets, 1 + methods]; the first column is alone."""
  columns = [results.alone(targets, "score")]
  columns += [
    results.joint(method, targets, "score") for method in results.study.methods
  ]
  return np.stack([column.mean(0) for column in columns], 1)


def _scores(results: comparison.Results, targets: str) -> figure.Figure:
  names = ["alone", *results.study.methods]
  title = "primary metric, mean over seeds; blue: above training alone"
  return plots.table(
    _means(results, targets), list(results.tasks), names, True, title
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


def to_json(results: comparison.Results) -> dict:
  """The content of report.json: every number of the pictures."""
  study = results.study
  return {
    "tasks": list(results.tasks),
    "seeds": list(study.seeds),
    "headline": [
      {
        **vars(row),
        "positive": row.positive._asdict(),
        "gain": row.gain._asdict(),
      }
      for row in comparison.headline(results)
    ],
    "gains": {
      f"{targets}/{method}/{measure}/{reading}": _plain(
        results.gains(method, targets, measure, reading)
      )
      for targets in study.targets
      for reading in results.readings(targets)
      for method in study.methods
      for measure in comparison.MEASURES
    },
    "scores": {
      targets: {
        name: _plain(column)
        for name, column in zip(
          ["alone", *study.methods], _means(results, targets).T, strict=True
        )
      }
      for targets in study.targets
    },
    "chance": _chance(results),
    "pairs": {
      f"{method}/{measure}": {
        "families": results.pairs(method, measure)[0],
        "gains": _plain(results.pairs(method, measure)[1]),
      }
      for method in study.pairs
      for measure in comparison.MEASURES
    },
    "samples_alone_over_together": {
      targets: results.samples_ratio(targets) for targets in study.targets
    },
    "parameters": _parameters(results),
  }


def _plain(values: np.ndarray) -> list:
  """Nested lists, None for NaN: JSON knows no NaN."""
  rounded = np.round(values, 6).astype(object)
  rounded[np.isnan(values)] = None
  return rounded.tolist()


def _chance(results: comparison.Results) -> dict[str, float]:
  found = {}
  for result in results.runs.values():
    for task, score in result["scores"].items():
      found[task] = score["chance"]
  return {task: found[task] for task in results.tasks}


def _parameters(results: comparison.Results) -> dict[str, int]:
  """Method -> parameters of its adapter."""
  return {
    run.method: result["parameters"] for run, result in results.runs.items()
  }


def to_markdown(results: comparison.Results, drawn: list[str]) -> str:
  """The content of report.md."""
  lines = ["# Positive transfer", "", *_budgets(results), ""]
  lines += ["## Share of datasets that joint training helps", ""]
  lines += [
    *_headline(results),
    "",
    *_comparisons(results),
    *_reasons(results),
    "",
  ]
  for targets in results.study.targets:
    lines += ["", f"## Scores, targets: {targets}", ""]
    lines += _score_table(results, targets)
  for name in drawn:
    lines += ["", f"![{name}]({_PLOTS}/{name}.png)"]
  return "\n".join(lines) + "\n"


def _budgets(results: comparison.Results) -> list[str]:
  study = results.study
  ratios = [
    ratio
    for targets in study.targets
    for ratio in results.samples_ratio(targets).values()
  ]
  steps = {
    targets: results.runs[
      grid.Run(
        grid.ALL, results.tasks, study.methods[0], targets, study.seeds[0]
      )
    ]["steps"]
    for targets in study.targets
  }
  words = ", ".join(f"{number} ({name})" for name, number in steps.items())
  return [
    f"- {len(results.tasks)} datasets, seeds {list(study.seeds)}; alone:"
    f" {study.baseline}; the same optimizer everywhere",
    f"- joint training: {words} steps, until it has seen {study.samples} samples"
    " of each dataset, as training alone does",
    "- samples of a dataset seen alone over those seen together, as counted:"
    f" {min(ratios):.2f} to {max(ratios):.2f}",
    "- second reading, same total steps: alone trains for as many steps as"
    " joint training in all",
    "- intervals: 95 % bootstrap over seeds; few seeds make it coarse",
    "- score: primary metric on held-out clips, gain joint - alone; loss: nats"
    " a supervised token on validation records, gain log(alone / joint)",
  ]


def _headline(results: comparison.Results) -> list[str]:
  parameters = _parameters(results)
  lines = [
    "| measure | reading | targets | method | parameters | gain | lose | mean"
    " gain |",
    "|---|---|---|---|---:|---:|---:|---:|",
  ]
  for row in comparison.headline(results):
    share, gain = row.positive, row.gain
    lines.append(
      f"| {row.measure} | {_READINGS[row.reading]} | {row.targets}"
      f" | {row.method} | {parameters[row.method]:,}"
      f" | {share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
      f" | {row.negative:.0%}"
      f" | {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |"
    )
  return lines


def _comparisons(results: comparison.Results) -> list[str]:
  """Sentences: each I-LoRA against plain LoRA, whatever comes out.

  Of the same rank, and of the same parameter count.
  """
  methods, seeds = results.study.methods, len(results.study.seeds)
  lines = []
  for plain in (name for name in ("lora", "lora_wide") if name in methods):
    for method in (name for name in methods if name.startswith("ilora")):
      for targets in results.study.targets:
        for measure in comparison.MEASURES:
          found = comparison.difference(
            results, method, plain, targets, measure
          )
          lines.append(
            f"- {method} against {plain}, {targets}, {measure}:"
            f" {_verdict(found, seeds)}"
          )
  return lines


def _reasons(results: comparison.Results) -> list[str]:
  """Sentences: explicit reasoning against bare answers, method by method."""
  if set(results.study.targets) != {"reasoning", "answer"}:
    return []
  seeds = len(results.study.seeds)
  return [
    f"- explicit reasoning against bare answers, {method}, score:"
    f" {_verdict(comparison.reasoning(results, method), seeds)}"
    for method in results.study.methods
  ]


def _verdict(found: statistics.Interval, seeds: int) -> str:
  """What an interval over seeds says; one seed has none."""
  if seeds < 2:
    return f"no verdict from one seed, mean gain {found.value:+.3f}"
  word = "no clear difference"
  if found.low > 0:
    word = "better"
  elif found.high < 0:
    word = "worse"
  numbers = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
  return f"{word}, mean gain {numbers}"


def _score_table(results: comparison.Results, targets: str) -> list[str]:
  means, chance = _means(results, targets), _chance(results)
  lines = [
    "| family | dataset | chance | alone | "
    + " | ".join(results.study.methods)
    + " |",
    "|---|---|" + "---:|" * (means.shape[1] + 1),
  ]
  for task, family, row in zip(
    results.tasks, _families(results), means, strict=True
  ):
    numbers = " | ".join(f"{value:.3f}" for value in row)
    lines.append(f"| {family} | {task} | {chance[task]:.3f} | {numbers} |")
  return lines

"""The text of a study's report: tables, and sentences with a verdict."""

import math

from crab_jax.ablation import comparison
from crab_jax.ablation import grid
from crab_jax.ablation import rates
from crab_jax.ablation import relation
from crab_jax.ablation import statistics


def text(results: comparison.Results, pictures: list[str], folder: str) -> str:
  """The content of report.md.

  Args:
    results: of the study.
    pictures: names of its pictures.
    folder: where they are, seen from report.md.
  """
  lines = ["# Positive transfer", "", *_budgets(results), ""]
  lines += ["## Share of datasets that joint training helps", ""]
  lines += [
    *_headline(results),
    "",
    *_comparisons(results),
    *_reasons(results),
    "",
  ]
  lines += _curve_table(results)
  lines += _rate_table(results)
  lines += _gate_table(results)
  for targets in results.study.targets:
    lines += ["", f"## Scores, targets: {targets}", ""]
    lines += _score_table(results, targets)
  for name in pictures:
    lines += ["", f"![{name}]({folder}/{name}.png)"]
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
    f" {study.baseline}; the same optimizer everywhere"
    + (", the rate of each arm its own" if study.rates else ""),
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
  parameters = results.parameters()
  lines = [
    "| measure | reading | targets | method | parameters | gain | lose | mean"
    " gain |",
    "|---|---|---|---|---:|---:|---:|---:|",
  ]
  for row in comparison.headline(results):
    share, gain = row.positive, row.gain
    lines.append(
      f"| {row.measure} | {comparison.READING_TITLES[row.reading]} | {row.targets}"
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
  seeds, lines = len(results.study.seeds), []
  for plain, method in comparison.against_plain(results.study):
    for targets in results.study.targets:
      pair = f"- {method} against {plain}, {targets}"
      for measure in comparison.MEASURES:
        found = comparison.difference(results, method, plain, targets, measure)
        lines.append(f"{pair}, {measure}: {_verdict(found, seeds)}")
      if over := comparison.clip_difference(results, method, plain, targets):
        lines.append(
          f"{pair}, score of a clip, interval over seeds and clips:"
          f" {_verdict(over, seeds)}"
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


def _curve_table(results: comparison.Results) -> list[str]:
  """Mean score against the number of samples; nothing without such runs."""
  if not results.study.curves:
    return []
  return [
    "",
    "## Mean score against the samples of each dataset",
    "",
    "| method | targets | samples | mean score |",
    "|---|---|---:|---:|",
    *(
      f"| {point.method} | {point.targets} | {point.samples}"
      f" | {point.score.value:.3f} [{point.score.low:.3f},"
      f" {point.score.high:.3f}] |"
      for point in comparison.curves(results)
    ),
  ]


def _rate_table(results: comparison.Results) -> list[str]:
  """What every arm lost at every rate; nothing where none was chosen."""
  study, found = results.study, results.rates()
  if not found:
    return []
  names = " | ".join(f"{rate:g}" for rate in study.rates)
  lines = [
    "",
    "## Learning rates",
    "",
    f"Mean log loss on held-out records, seeds {list(study.rate_seeds)}, targets:"
    f" {study.targets[0]}; every arm trains with its best (bold).",
    "",
    f"| arm | {names} |",
    "|---|" + "---:|" * len(study.rates),
  ]
  for arm, losses in found.items():
    best = min(losses.values())
    cells = [
      f"**{loss:+.3f}**" if loss == best else f"{loss:+.3f}"
      for loss in losses.values()
    ]
    lines.append(f"| {arm} | {' | '.join(cells)} |")
  ends = {min(study.rates), max(study.rates)}
  edge = [arm for arm, own in found.items() if rates.best(own) in ends]
  if edge:
    lines += [
      "",
      f"The best is the smallest or the largest rate tried for {', '.join(edge)}: a"
      " better one may lie beyond.",
    ]
  return lines


def _gate_table(results: comparison.Results) -> list[str]:
  """How far the routers part the datasets; nothing where there is no router."""
  rows = [
    f"| {method} | {targets} | {' | '.join(map(_known, found))} |"
    for (method, targets), found in relation.partings(results).items()
  ]
  if not rows:
    return []
  return [
    "",
    "## Gates",
    "",
    "Mean gates of every dataset after joint training, on held-out records."
    " Entropy 1: all heads alike. Distance 0: two datasets have the same gates,"
    " 1: they share no head.",
    "",
    "| method | targets | entropy | distance within a family | between families |",
    "|---|---|---:|---:|---:|",
    *rows,
  ]


def _known(value: float) -> str:
  return "–" if math.isnan(value) else f"{value:.3f}"


def _score_table(results: comparison.Results, targets: str) -> list[str]:
  means, chance = results.mean_scores(targets), results.chance()
  lines = [
    "| family | dataset | chance | alone | "
    + " | ".join(results.study.methods)
    + " |",
    "|---|---|" + "---:|" * (means.shape[1] + 1),
  ]
  for task, family, row in zip(
    results.tasks, results.families(), means, strict=True
  ):
    numbers = " | ".join(f"{value:.3f}" for value in row)
    lines.append(f"| {family} | {task} | {chance[task]:.3f} | {numbers} |")
  return lines

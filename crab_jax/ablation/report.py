"""The report of a study: writes report.json, report.md and its pictures."""

from collections.abc import Mapping

import numpy as np

from crab_jax import configs
from crab_jax import files
from crab_jax import plotting
from crab_jax.ablation import comparison
from crab_jax.ablation import figures
from crab_jax.ablation import grid
from crab_jax.ablation import markdown
from crab_jax.ablation import relation

_PLOTS = "plots"


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
  drawn = figures.draw(results)
  for name, picture in drawn.items():
    files.write_bytes(out / _PLOTS / f"{name}.png", plotting.png(picture))
  files.write_json(out / "report.json", to_json(results))
  path = out / "report.md"
  files.write_text(path, markdown.text(results, list(drawn), _PLOTS))
  return path


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
          ["alone", *study.methods], results.mean_scores(targets).T, strict=True
        )
      }
      for targets in study.targets
    },
    "chance": results.chance(),
    "pairs": {
      f"{method}/{measure}": {
        "families": results.pairs(method, measure)[0],
        "gains": _plain(results.pairs(method, measure)[1]),
      }
      for method in study.pairs
      for measure in comparison.MEASURES
    },
    "gates": {
      f"{targets}/{method}": dict(
        zip(found._fields, _plain(np.array(found)), strict=True)
      )
      for (method, targets), found in relation.partings(results).items()
    },
    "rates": {
      arm: dict(
        zip(
          (f"{rate:g}" for rate in own),
          _plain(np.array(list(own.values()))),
          strict=True,
        )
      )
      for arm, own in results.rates().items()
    },
    "curves": [
      {**vars(point), "score": point.score._asdict()}
      for point in comparison.curves(results)
    ],
    "clip_differences": {
      f"{targets}/{method}-{plain}": over._asdict()
      for plain, method in comparison.against_plain(study)
      for targets in study.targets
      if (over := comparison.clip_difference(results, method, plain, targets))
    },
    "samples_alone_over_together": {
      targets: results.samples_ratio(targets) for targets in study.targets
    },
    "parameters": results.parameters(),
  }


def _plain(values: np.ndarray) -> list:
  """Nested lists, None for what is not finite: JSON knows no such number."""
  rounded = np.round(values, 6).astype(object)
  rounded[~np.isfinite(values)] = None
  return rounded.tolist()

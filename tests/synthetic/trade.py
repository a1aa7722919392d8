"""What the adapter reaches by its rank, its steps and those of its base.

  python -m tests.synthetic.trade FOLDER

Run by hand. From the settings of gin/base.gin one number is changed at a time: the
rank of I-LoRA, the steps of tuning, the steps of the base. World and records are
made once, as are the base of so many steps and the stage before it; places are
scored by boxes. Printed is a table, a row a run: the mean score of each family and of
all; FOLDER/trade.png shows it. Stopped, it goes on; what is done is not done again.
"""

import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

from crab_jax import plotting

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class Point(NamedTuple):
  """What a run is made with."""

  rank: int = 16
  tuning: int = 1000  # steps
  base: int = 450  # steps of the stage `backbone`

  @property
  def name(self) -> str:
    return f"rank{self.rank}_tuning{self.tuning}_base{self.base}"


# Field -> its name in the figure, and its values; the others stay.
_CURVES = {
  "rank": ("rank of I-LoRA", (2, 8, 16, 32)),
  "tuning": ("steps of I-LoRA", (250, 500, 1000, 2000)),
  "base": ("steps of the base", (110, 450, 900)),
}
_BASES = _CURVES["base"][1]


def _train(run: pathlib.Path, **settings) -> dict:
  """One training; the families of its report."""
  settings |= {
    "MaskTraining.steps": 0,
    "Validation.every": 0,
    "Evaluation.base_alone": False,
    "Evaluation.unified": False,
    "Experiment.compiled": f'"{run.parent / "compiled"}"',
  }
  report = run / "report.json"
  if not report.is_file():
    given = [f"--gin_param={key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "crab_jax.train"]
    subprocess.run(
      [*command, "--gin_file=gin/base.gin", f"--workdir={run}", *given],
      cwd=_ROOT,
      check=True,
      env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
  return json.loads(report.read_text(encoding="utf-8"))["families"]


def _records(folder: pathlib.Path) -> dict:
  """The settings of a run with the records of the first one."""
  return {
    "Experiment.records": f'"{_pictures(folder) / "records"}"',
    "Experiment.world": None,
  }


def _pictures(folder: pathlib.Path) -> pathlib.Path:
  """The run that makes world and records, and from which the bases go on."""
  return folder / "pictures"


def _base(folder: pathlib.Path, steps: int) -> pathlib.Path:
  """The base of so many steps; of 0 that which has seen pictures alone."""
  run = folder / f"base_{steps}" if steps else _pictures(folder)
  begun_with = {
    **_records(folder),
    "Experiment.base": f'"{_pictures(folder) / "base"}"',
    "pictures/Stage.steps": 0,
  }
  _train(
    run,
    **(begun_with if steps else {}),
    **{
      "backbone/Stage.steps": steps,
      "tuning/Stage.steps": 0,
      "Evaluation.limit": 1,  # it knows no task
    },
  )
  return run / "base"


def scores(folder: pathlib.Path) -> dict[Point, dict[str, float]]:
  """Point -> family -> mean score, after all runs."""
  bases = {steps: _base(folder, steps) for steps in (0, *_BASES)}
  points = {
    Point()._replace(**{field: value})
    for field, (_, values) in _CURVES.items()
    for value in values
  }
  found = {}
  # The shortest trainings first: stopped early, there are more of them.
  for point in sorted(points, key=lambda point: (point.tuning, point)):
    families = _train(
      folder / point.name,
      **_records(folder),
      **{
        "Experiment.base": f'"{bases[point.base]}"',
        "Experiment.stages": "[@tuning/configs.Stage()]",
        "tuning/Stage.steps": point.tuning,
        "ILora.rank": point.rank,
        "ILora.alpha": 2.0 * point.rank,
      },
    )
    found[point] = {name: of["value"] for name, of in families.items()}
    _print(point, found[point])
  return found


def _print(point: Point, families: dict[str, float]) -> None:
  cells = [*map(str, point), *(f"{x:.2f}" for x in families.values())]
  print(f"| {' | '.join(cells)} | {_mean(families):.2f} |", flush=True)


def _mean(families: dict[str, float]) -> float:
  return sum(families.values()) / len(families)


def draw(found: dict[Point, dict[str, float]]) -> bytes:
  """A panel a number that is changed: the mean of the families and each of them.

  Args:
    found: point -> family -> mean score.

  Returns:
    A PNG.
  """
  drawn = plotting.figure.Figure(figsize=(11, 3.4), layout="constrained")
  panels = drawn.subplots(1, len(_CURVES), sharey=True)
  for axes, (field, (title, values)) in zip(
    panels, _CURVES.items(), strict=True
  ):
    rows = [found[Point()._replace(**{field: value})] for value in values]
    for index, family in enumerate(rows[0]):
      line = [row[family] for row in rows]
      axes.plot(
        values, line, color=plotting.colour(index), lw=1.2, label=family
      )
    means = [_mean(row) for row in rows]
    axes.plot(values, means, color=plotting.INK, lw=2.4, label="mean")
    axes.set_xscale("log")
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()
    axes.set_xlabel(title, color=plotting.INK)
    axes.margins(x=0.1)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
  panels[0].set_ylabel("mean score of the sets", color=plotting.INK)
  lines = panels[0].get_legend_handles_labels()
  drawn.legend(*lines, frameon=False, fontsize=9, loc="outside right center")
  return plotting.png(drawn)


def main() -> None:
  """Trains what is not there, prints and draws."""
  folder = pathlib.Path(sys.argv[1]).resolve()
  found = scores(folder)
  (folder / "trade.png").write_bytes(draw(found))


if __name__ == "__main__":
  main()

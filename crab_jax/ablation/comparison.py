"""From the results of runs to tables of gains.

Two measures: "score", the primary metric on held-out clips, and "loss", nats a
supervised token on validation records: it moves with every clip, where an
accuracy over a few dozen clips moves in steps. Losses compare within one kind
of targets only, and their gain is the logarithm of a ratio: datasets whose
losses lie an order of magnitude apart then count alike.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from crab_jax import configs
from crab_jax.ablation import grid
from crab_jax.ablation import rates
from crab_jax.ablation import statistics
from crab_jax.array_types import Float

MEASURES = ("score", "loss")
READING_TITLES = {
  "samples": "same samples of the dataset",
  "steps": "same total steps",
}
READINGS = tuple(READING_TITLES)


def gain(measure: str, after, before):
  """What something gains: above zero it is better than `before`.

  The difference of scores, or log(loss before / loss after).
  """
  return after - before if measure == "score" else np.log(before / after)


@dataclasses.dataclass(frozen=True)
class Results:
  """The results of a study's runs."""

  study: configs.Transfer
  groups: grid.Groups
  runs: Mapping[grid.Run, dict]

  @property
  def tasks(self) -> tuple[str, ...]:
    """The datasets compared."""
    return grid.datasets(self.groups)

  def families(self) -> list[str]:
    """The family of each dataset."""
    return [family for family, own in self.groups.items() for _ in own]

  def parameters(self) -> dict[str, int]:
    """Method -> parameters of its adapter."""
    return {run.method: found["parameters"] for run, found in self.runs.items()}

  def chance(self) -> dict[str, float]:
    """Dataset -> the score of guessing."""
    found = {
      task: score["chance"]
      for result in self.runs.values()
      for task, score in result["scores"].items()
    }
    return {task: found[task] for task in self.tasks}

  def mean_scores(self, targets: str) -> Float[np.ndarray, "tasks columns"]:
    """Mean scores over seeds: alone, then jointly with every method."""
    columns = [self.alone(targets, "score")]
    columns += [
      self.joint(method, targets, "score") for method in self.study.methods
    ]
    return np.stack([column.mean(0) for column in columns], 1)

  def value(self, run: grid.Run, task: str, measure: str) -> float:
    """One number of a run; NaN if it has none."""
    result = self.runs.get(run)
    if result is None:
      return float("nan")
    if measure == "score":
      return result["scores"][task]["value"]
    return result["losses"].get(task, float("nan"))

  def joint(
    self, method: str, targets: str, measure: str
  ) -> Float[np.ndarray, "seeds tasks"]:
    """Numbers of the runs with all datasets."""
    runs = [
      grid.Run(grid.ALL, self.tasks, method, targets, seed)
      for seed in self.study.seeds
    ]
    return np.array(
      [[self.value(c, t, measure) for t in self.tasks] for c in runs]
    )

  def clips(
    self, method: str, targets: str, task: str
  ) -> Float[np.ndarray, "seeds clips"] | None:
    """Scores of single clips of the runs with all datasets; None: not kept."""
    runs = [
      grid.Run(grid.ALL, self.tasks, method, targets, seed)
      for seed in self.study.seeds
    ]
    found = [self.runs[run]["scores"][task].get("clips") for run in runs]
    return np.array(found) if all(found) else None

  def rates(self) -> dict[str, dict[float, float]]:
    """Arm -> rate -> the log loss by which it was chosen; see `rates`."""
    found = {}
    for arm in rates.arms(self.study):
      losses = rates.losses(self.study, self.groups, arm, self.runs.get)
      if losses:
        found[arm] = losses
    return found

  def curve(
    self, method: str, targets: str
  ) -> dict[int, Float[np.ndarray, "seeds tasks"]]:
    """Samples of each dataset -> scores of joint training, samples ascending."""
    study = self.study
    counts = {study.samples: None, **{n: n for n in study.curve_samples}}
    return {
      number: np.array(
        [
          [
            self.value(
              grid.Run(
                grid.ALL,
                self.tasks,
                method,
                targets,
                seed,
                samples=counts[number],
              ),
              task,
              "score",
            )
            for task in self.tasks
          ]
          for seed in study.seeds
        ]
      )
      for number in sorted(counts)
    }

  def alone(
    self, targets: str, measure: str, reading: str = "samples"
  ) -> Float[np.ndarray, "seeds tasks"]:
    """Numbers of the runs with one dataset."""
    method = self.study.baseline
    return np.array(
      [
        [
          self.value(
            grid.Run(task, (task,), method, targets, seed, reading),
            task,
            measure,
          )
          for task in self.tasks
        ]
        for seed in self.study.seeds
      ]
    )

  def gains(
    self, method: str, targets: str, measure: str, reading: str = "samples"
  ) -> Float[np.ndarray, "seeds tasks"]:
    """Joint training against training alone; above zero it helps."""
    joint = self.joint(method, targets, measure)
    alone = self.alone(targets, measure, reading)
    return gain(measure, joint, alone)

  def readings(self, targets: str) -> tuple[str, ...]:
    """The readings that the study has for a kind of targets."""
    both = targets in self.study.same_steps
    return READINGS if both else READINGS[:1]

  def pairs(
    self, method: str, measure: str
  ) -> tuple[list[str], Float[np.ndarray, "seeds families families"]]:
    """Gain of each family (row) from each other (column); NaN on itself.

    The mean over the row family's datasets of A + B against A alone.
    """
    names = list(self.groups)
    found = np.full((len(self.study.seeds), len(names), len(names)), np.nan)
    for s, seed in enumerate(self.study.seeds):
      for i, one in enumerate(names):
        for j, two in enumerate(names):
          if i != j:
            found[s, i, j] = self._pair(one, two, method, seed, measure)
    return names, found

  def _pair(self, one: str, two: str, method, seed, measure) -> float:
    groups, targets = self.groups, self.study.pair_targets
    first, last = (f for f in groups if f in (one, two))
    own = grid.Run(one, groups[one], method, targets, seed)
    label, both = f"{first}+{last}", groups[first] + groups[last]
    pair = grid.Run(label, both, method, targets, seed)
    return float(
      np.mean(
        [
          gain(
            measure, self.value(pair, t, measure), self.value(own, t, measure)
          )
          for t in groups[one]
        ]
      )
    )

  def samples_ratio(self, targets: str) -> dict[str, float]:
    """Dataset -> samples seen alone over samples seen together, mean."""
    found = {}
    for task in self.tasks:
      ratios = []
      for seed in self.study.seeds:
        alone = grid.Run(task, (task,), self.study.baseline, targets, seed)
        for method in self.study.methods:
          joint = grid.Run(grid.ALL, self.tasks, method, targets, seed)
          one, two = (self.runs[c]["samples"][task] for c in (alone, joint))
          ratios.append(one / two)
      found[task] = float(np.mean(ratios))
    return found


@dataclasses.dataclass(frozen=True)
class Row:
  """One line of the headline table."""

  method: str
  targets: str
  measure: str
  reading: str
  positive: statistics.Interval  # share of datasets that gain
  negative: float  # share that lose
  gain: statistics.Interval  # mean over datasets


def headline(results: Results) -> list[Row]:
  """Shares and mean gains of every method, measure and reading."""
  return [
    Row(
      method,
      targets,
      measure,
      reading,
      statistics.bootstrap((gains,), statistics.positive_share),
      statistics.negative_share(gains),
      statistics.bootstrap((gains,), statistics.mean_gain),
    )
    for measure in MEASURES
    for targets in results.study.targets
    for reading in results.readings(targets)
    for method in results.study.methods
    if not np.isnan(
      gains := results.gains(method, targets, measure, reading)
    ).any()
  ]


def difference(
  results: Results, one: str, two: str, targets: str, measure: str
) -> statistics.Interval:
  """Mean gain of one method minus that of another, seed by seed."""
  gains = [results.gains(m, targets, measure) for m in (one, two)]
  return statistics.bootstrap(
    tuple(gains),
    lambda a, b: statistics.mean_gain(a) - statistics.mean_gain(b),
  )


def against_plain(study: configs.Transfer) -> list[tuple[str, str]]:
  """(plain LoRA, I-LoRA) of every two such methods of a study."""
  return [
    (plain, method)
    for plain in ("lora", "lora_wide")
    for method in study.methods
    if plain in study.methods and method.startswith("ilora")
  ]


def clip_difference(
  results: Results, one: str, two: str, targets: str
) -> statistics.Interval | None:
  """Mean clip score of one method minus that of another, jointly trained.

  Its interval is over seeds and clips. A clip's score is its part of the
  metric where that is a mean over clips, and ranks clips where it is none (a
  mean over classes, say): then this is another number than the metric.

  Returns:
    None: runs of earlier versions have no scores of single clips.
  """
  differences = []
  for task in results.tasks:
    found = [results.clips(m, targets, task) for m in (one, two)]
    if found[0] is None or found[1] is None:
      return None
    differences.append(found[0] - found[1])
  return statistics.bootstrap_clips(differences)


def reasoning(results: Results, method: str) -> statistics.Interval:
  """Mean score of joint training with explicit reasoning minus without."""
  full, bare = (
    results.joint(method, targets, "score")
    for targets in ("reasoning", "answer")
  )
  return statistics.bootstrap((full - bare,), statistics.mean_gain)


@dataclasses.dataclass(frozen=True)
class Point:
  """One point of a curve: the mean score after so many samples."""

  method: str
  targets: str
  samples: int
  score: statistics.Interval


def curves(results: Results) -> list[Point]:
  """Score against the number of samples, with each kind of targets."""
  return [
    Point(
      method,
      targets,
      samples,
      statistics.bootstrap((scores,), statistics.mean_gain),
    )
    for method in results.study.curves
    for targets in results.study.targets
    for samples, scores in results.curve(method, targets).items()
  ]

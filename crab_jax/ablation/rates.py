"""The learning rate of each arm of a study, chosen on seeds of its own.

An arm is one method on all datasets together, or the baseline on a dataset
alone. Adapters of other sizes want other rates: at one rate for all, an arm
that does not train loses whatever the adapter is worth. Every arm tries
`Transfer.rates` on `Transfer.rate_seeds`, which no comparison uses, and takes
the one of the least held-out loss: the mean logarithm over seeds and
datasets, so that no dataset outweighs another. A trial whose loss is not
finite has lost.

The arms of one dataset share a rate, that of the baseline alone. Parts of the
datasets (families and pairs of them) and other numbers of samples take the
rate of their method on all datasets.
"""

import math
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np

from crab_jax import configs
from crab_jax.ablation import grid

ALONE = "alone"  # the arm of the baseline on each dataset
Results = Callable[[grid.Run], dict | None]  # of a run that is done


def arm(run: grid.Run) -> str:
  """The arm that a run belongs to: a method, or `ALONE`."""
  return ALONE if run.tasks == (run.label,) else run.method


def arms(study: configs.Transfer) -> tuple[str, ...]:
  """All arms of a study that has rates to choose from."""
  extra = (*study.pairs, *study.curves)
  return tuple(dict.fromkeys((*study.methods, *extra, ALONE)))


def trials(
  study: configs.Transfer, groups: grid.Groups, arm: str, rate: float
) -> list[grid.Run]:
  """The runs in which an arm tries a rate."""
  tasks, targets = grid.datasets(groups), study.targets[0]
  parts = [(grid.ALL, tasks, arm)]
  if arm == ALONE:
    parts = [(task, (task,), study.baseline) for task in tasks]
  return [
    grid.Run(label, own, method, targets, seed, rate=rate)
    for seed in study.rate_seeds
    for label, own, method in parts
  ]


def sweep(study: configs.Transfer, groups: grid.Groups) -> list[grid.Run]:
  """The trials of all arms; none where there is nothing to choose."""
  return [
    run
    for arm in arms(study)
    for rate in study.rates
    for run in trials(study, groups, arm, rate)
  ]


def losses(
  study: configs.Transfer, groups: grid.Groups, arm: str, results: Results
) -> dict[float, float] | None:
  """Rate -> mean log loss of its trials; None while one is not done."""
  means = {}
  for rate in study.rates:
    tried = trials(study, groups, arm, rate)
    done = [found for run in tried if (found := results(run)) is not None]
    if len(done) < len(tried):
      return None
    means[rate] = float(np.mean([_log_loss(result) for result in done]))
  return means


def _log_loss(result: dict) -> float:
  """Of one trial; infinite where it left the finite numbers."""
  values = list(result["losses"].values())
  return float(np.mean(np.log(values))) if values else math.inf


def chosen(
  study: configs.Transfer, groups: grid.Groups, run: grid.Run, results: Results
) -> float | None:
  """The rate that a run trains with; None while its trials are not done.

  Args:
    study: the settings.
    groups: the datasets compared.
    run: one of the study.
    results: of the trials.
  """
  if run.rate is not None:
    return run.rate
  if not study.rates:
    return study.optimizer.peak
  found = losses(study, groups, arm(run), results)
  return None if found is None else best(found)


def best(found: Mapping[float, float]) -> float:
  """The rate of the least loss; of equals the first that was tried."""
  return min(found, key=lambda rate: found[rate])

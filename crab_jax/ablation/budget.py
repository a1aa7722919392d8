"""How many steps the samples of a dataset take when it is alone.

Counted from the sizes of its first records: a row is full when one of its
budgets (tokens, frame pairs, chunks, supervised positions, samples) is. The
packer comes within a few per cent of that; what each cell really saw is kept
beside its scores.
"""

import itertools
import pathlib
from collections.abc import Iterable

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Float
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import tokenizer as tokenizers

_MEASURED = 32  # records of a dataset


def steps(sizes: Float[np.ndarray, "5"], rows: configs.Rows, count: int) -> int:
  """Steps that `count` samples of the mean size `sizes` take, at least 1.

  Args:
    sizes: what a sample takes of each of `packing.BUDGETS`, on average.
    rows: the shape of a row and the rows of a step.
    count: samples.
  """
  rows_each = float(np.max(sizes / packing.limits(rows)))
  return max(round(count * rows_each / rows.rows), 1)


def mean_size(
  root: pathlib.Path, task: str, maker: samples.SampleMaker
) -> Float[np.ndarray, "5"]:
  """What a training sample of a dataset takes of a row, on average.

  Raises:
    UserError: none of the first records can be read.
  """
  source = sources.RecordSource(root, task, "train")
  found = list(
    _sizes(itertools.islice(range(len(source)), _MEASURED), source, maker)
  )
  if not found:
    raise errors.UserError(f"none of the first records of {task} can be read")
  return np.mean(found, axis=0)


def _sizes(indices: Iterable[int], source, maker):
  for index in indices:
    try:
      yield packing.sizes(maker.train(source[index]))
    except samples.SampleError:
      continue  # the loader counts and names it


def alone(
  root: pathlib.Path,
  tokenizer: tokenizers.Tokenizer,
  experiment: configs.Experiment,
  tasks: tuple[str, ...],
) -> dict[tuple[str, str], int]:
  """(targets, dataset) -> steps, for all of a study."""
  study = experiment.transfer
  found = {}
  for targets in study.targets:
    maker = samples.sample_maker(
      tokenizer, experiment.data, experiment.model, targets
    )
    for task in tasks:
      sizes = mean_size(root, task, maker)
      found[targets, task] = steps(sizes, study.rows, study.samples)
  return found

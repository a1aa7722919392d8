"""How many steps a run takes until it has seen its samples.

Datasets share rows better than one fills them alone (a row that is full of
frames still has room for a picture), so the steps of a joint run are not the
sum of those of its datasets. They are counted by packing: the sizes of each
dataset's first records, over and over, go through the packer of training until
the rows hold what the run may see. What each run really saw is kept beside
its scores.
"""

import itertools
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Int
from crab_jax.data import packing
from crab_jax.data import prepared_records
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import tokenizer as tokenizers

_MEASURED = 32  # records of a dataset

# Of each measured sample what it takes of `packing.BUDGETS`.
Sizes = Int[np.ndarray, "n 5"]


def steps(datasets: Sequence[Sizes], rows: configs.Rows, count: int) -> int:
  """Steps until the rows hold `count` samples a dataset, at least 1.

  Args:
    datasets: the sizes of each dataset; they take turns, as in an even mixture.
    rows: the shape of a row and the rows of a step.
    count: samples.
  """
  made = filter(None, map(packing.Packer(rows).add, *_endless(datasets)))

  def step() -> int:
    return sum(len(row) for row in itertools.islice(made, rows.rows))

  number, remaining, more = 0, count * len(datasets), step()
  while more / 2 <= remaining:  # one more step comes closer
    number, remaining, more = number + 1, remaining - more, step()
  return max(number, 1)


def _endless(datasets: Sequence[Sizes]):
  """Items for the packer, and their sizes: the datasets take turns."""
  turns = zip(*(itertools.cycle(sizes) for sizes in datasets), strict=True)
  return itertools.repeat(None), itertools.chain.from_iterable(turns)


def measure(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  experiment: configs.Experiment,
  tasks: tuple[str, ...],
) -> Mapping[tuple[str, str], Sizes]:
  """(targets, dataset) -> sizes of samples, for all of a study.

  Raises:
    UserError: none of the first records of a dataset can be read.
  """
  found = {}
  for targets in experiment.required_transfer.targets:
    maker = samples.sample_maker(
      tokenizer, experiment.data, experiment.model, prepared.table, targets
    )
    for task in tasks:
      found[targets, task] = _sizes(prepared, task, maker)
  return found


def _sizes(
  prepared: prepared_records.Prepared, task: str, maker: samples.SampleMaker
) -> Sizes:
  source = sources.RecordSource(prepared.root, task, "train")
  first = itertools.islice(range(len(source)), _MEASURED)
  found = list(_readable(first, source, maker))
  if not found:
    raise errors.UserError(f"none of the first records of {task} can be read")
  return np.stack(found)


def _readable(indices: Iterable[int], source, maker):
  for index in indices:
    try:
      yield packing.sizes(maker.train(source[index]))
    except samples.SampleError:
      continue  # the loader counts and names it

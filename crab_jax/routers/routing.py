"""The routers of a checkpoint on records: packed rows in, gates out.

Reads targets as in training, so that the answers' tokens are there: validation
records, or training records where there are none. `report` writes what was
found.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax import errors
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.routers import gates
from crab_jax.routers import statistics as router_statistics


@dataclasses.dataclass(frozen=True)
class Found:
  """What was seen of the routers.

  Attributes:
    statistics: groups are the datasets, then the token kinds.
    samples: float[n, X], mean gates of each sample, all projections in a row.
    sample_tasks: the dataset of each sample.
    heads: E.
    table: the tasks.
  """

  statistics: router_statistics.Statistics
  samples: np.ndarray
  sample_tasks: list[str]
  heads: int
  table: tasks.Tasks

  @property
  def seen(self) -> list[int]:
    """Numbers of the datasets that had tokens."""
    return [
      int(i) for i in np.flatnonzero(self.statistics.tokens[: len(self.table)])
    ]

  @property
  def seen_names(self) -> list[str]:
    """Names of the datasets that had tokens."""
    names = list(self.table)
    return [names[number] for number in self.seen]


def collect(
  model: configs.Model,
  params: at.Tree,
  batches: Iterator[at.Batch],
  table: tasks.Tasks,
) -> Found:
  """Runs batches through a model and adds up what its routers say.

  Raises:
    UserError: the model has no router, or there is no batch.
  """
  if not model.routes:
    raise errors.UserError(
      "the model has no router: it takes an adapter whose ILora.heads are two"
      " or more and whose ILora.router is not uniform"
    )
  collector, heads = (
    router_statistics.Collector(model, len(table)),
    model.required_adapter.heads,
  )
  names = list(table)
  total, points, owners = None, [], []
  for batch in batches:
    found = collector(params, batch)
    total = found if total is None else total + found
    numbers = batch["sample_ids"][..., 0].ravel()
    own = gates.vectors(collector.by_sample(params, batch), heads, len(numbers))
    points.append(own[numbers >= 0])
    # -1 marks the samples that a row could have had and has not.
    owners += [names[number] for number in numbers[numbers >= 0]]
  if total is None:
    raise errors.UserError("there are no records")
  return Found(total, np.concatenate(points), owners, heads, table)


def batches(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  data: configs.Data,
  model: configs.Model,
  rows: configs.Rows,
  limit: int | None,
  chosen: tuple[str, ...] | None = None,
) -> Iterator[at.Batch]:
  """Packed records with their targets, about `limit` of each dataset."""
  written = prepared.splits()
  names = [name for name in chosen or written if name in written]
  held = [name for name in names if written[name].get("val")]
  split = "val" if held else "train"
  mixture = dict.fromkeys(held or names, 1.0)
  remaining = None if limit is None else limit * len(mixture)
  for batch in pipeline.one_pass(
    prepared, tokenizer, data, model, rows, split=split, mixture=mixture
  ):
    yield batch
    if remaining is not None:
      remaining -= int((batch["sample_ids"][..., 0] >= 0).sum())
      if remaining <= 0:
        return

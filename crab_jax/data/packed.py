"""The grain stage that reads, makes samples and packs them into batches.

Its parent is a random-access dataset of `Read`s. The state of its iterator is
the index of the next one and the indices of the samples that wait for a row:
resuming reads those few again and goes on, to the bit.
"""

import dataclasses
from typing import Any

import grain

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Batch
from crab_jax.data import packing
from crab_jax.data import samples as samples_lib
from crab_jax.data import sources


@dataclasses.dataclass(frozen=True)
class Failure:
  """A record that did not become a sample."""

  task: str
  id: str
  reason: str  # see `samples.SampleError`
  detail: str


@dataclasses.dataclass(frozen=True)
class Read:
  """What reading one record gave: a sample or a failure."""

  sample: samples_lib.Sample | None
  failure: Failure | None = None
  short_video: bool = False  # its last frame was repeated


@dataclasses.dataclass(frozen=True)
class SampleSource:
  """The samples of one split by index; a bad record gives a `Failure`.

  Attributes:
    source: the records.
    maker: makes samples of them.
    rows: what a sample must fit into.
  """

  source: sources.RecordSource
  maker: samples_lib.SampleMaker
  rows: configs.Rows

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> Read:
    task = self.source.task
    name = f"{task}/{self.source.split}, record {index}"
    try:
      record = self.source[int(index)]
      name = record.id
      sample = self.maker.train(record)
      if why := packing.misfit(self.rows, packing.sizes(sample)):
        raise samples_lib.SampleError("too_long", f"{name}: {why}")
    except samples_lib.SampleError as error:
      return Read(None, Failure(task, name, error.reason, str(error)))
    return Read(sample, short_video=record.status == "short_video")


def summary(reads: list[Read]) -> dict[str, Any]:
  """What a list of reads adds to the counters of `loader.Tally`."""
  return {
    "short_videos": sum(read.short_video for read in reads),
    "failures": [
      dataclasses.astuple(read.failure) for read in reads if read.failure
    ],
  }


class PackedDataset(grain.IterDataset):
  """Packs `Read`s; an element is (batch, `summary` of what it took)."""

  def __init__(
    self,
    parent: grain.MapDataset,
    layout: packing.Layout,
    options: grain.ReadOptions,
  ):
    super().__init__(parent)
    self._layout = layout
    self._options = options

  def set_slice(self, sl: slice, sequential_slice: bool = False) -> None:
    """Leaves a worker process its part; grain calls this in the worker."""
    del sequential_slice
    self._parents = (self._parent.slice(sl),)

  def __iter__(self) -> grain.DatasetIterator:
    return _PackedIterator(self._parent, self._layout, self._options)


class _PackedIterator(grain.DatasetIterator):
  """The iterator of `PackedDataset`."""

  def __init__(
    self,
    reads: grain.MapDataset,
    layout: packing.Layout,
    options: grain.ReadOptions,
  ):
    super().__init__(reads.to_iter_dataset(options).__iter__())
    self._reads = reads
    self._layout = layout
    self._start(next_index=0)

  def _start(self, next_index: int) -> None:
    self._next_index = next_index
    self._packer = packing.Packer(self._layout.rows)

  def __next__(self) -> tuple[Batch, dict[str, Any]]:
    rows, reads = [], []
    while len(rows) < self._layout.batch:
      read = next(self._parent)
      reads.append(read)
      index = self._next_index
      self._next_index += 1
      if read.sample is None:
        continue
      row = self._add(index, read.sample)
      if row is not None:
        rows.append([sample for _, sample in row])
    return self._layout.stack(rows), summary(reads)

  def _add(self, index: int, sample: samples_lib.Sample):
    return self._packer.add((index, sample), packing.sizes(sample))

  def get_state(self) -> dict[str, Any]:
    waiting = [index for index, _ in self._packer.waiting]
    return {"next_index": self._next_index, "waiting": waiting}

  def set_state(self, state: dict[str, Any]) -> None:
    self._start(int(state["next_index"]))
    self._parent.set_state({"next_index": self._next_index})
    for index in state["waiting"]:
      read = self._reads[index]
      if read.sample is None:
        raise errors.UserError(
          f"cannot resume: {read.failure.detail}; it was read without error"
          " before"
        )
      self._add(index, read.sample)

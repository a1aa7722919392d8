"""The grain stage that reads, makes samples and packs them into batches.

Its parent is a random-access dataset of `Read`s. With each batch goes the
stream position behind it, which names the samples that wait for a row:
beginning there reads those few again and goes on, to the bit.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import grain

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Batch
from crab_jax.data import packing
from crab_jax.data import samples as samples_lib
from crab_jax.data import sources
from crab_jax.data import stream_positions

_FAILURES = 256  # one after another; so many are no accident


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
      # Before it waits: the packer relies on that each fits into an empty row.
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
  """Packs `Read`s; an element is (batch, `summary`, the `Position` behind it).

  Args:
    order: the `Read`s that all streams share, endless.
    layout: of a batch.
    options: threads that read.
    streams: where to begin, of each worker process; one if there are none.
  """

  def __init__(
    self,
    order: grain.MapDataset,
    layout: packing.Layout,
    options: grain.ReadOptions,
    streams: Sequence[stream_positions.Position],
  ):
    super().__init__(order)
    self._layout = layout
    self._options = options
    self._streams = tuple(streams)

  def set_slice(self, sl: slice, sequential_slice: bool = False) -> None:
    """Leaves a worker process its stream; grain calls this in the worker."""
    del sequential_slice
    # Not the parent, which grain slices by default: positions count in the order
    # that all streams share.
    self._streams = self._streams[sl]

  def __iter__(self) -> grain.DatasetIterator:
    # With workers grain makes one in this process too, but takes nothing of it.
    begin = self._streams[0]
    return _PackedIterator(self._parent, self._layout, self._options, begin)


@dataclasses.dataclass(frozen=True)
class _Stream:
  """The reads of one stream by number, as grain's source."""

  order: grain.MapDataset
  position: stream_positions.Position

  def __len__(self) -> int:
    return len(self.order)

  def __getitem__(self, count: int) -> Read:
    return self.order[self.position.index(count)]


class _PackedIterator(grain.DatasetIterator):
  """The iterator of `PackedDataset`."""

  def __init__(
    self,
    order: grain.MapDataset,
    layout: packing.Layout,
    options: grain.ReadOptions,
    begin: stream_positions.Position,
  ):
    # Random access, so that grain's threads read ahead and yet keep the order.
    reads = grain.MapDataset.source(_Stream(order, begin))
    super().__init__(reads.to_iter_dataset(options).__iter__())
    self._order = order
    self._layout = layout
    self._begin = begin
    self._count = 0
    self._packer: packing.Packer | None = None  # before the first batch

  def _wait_again(self) -> packing.Packer:
    """A packer in which what waited at the beginning waits."""
    packer = packing.Packer(self._layout.rows)
    for index in self._begin.waiting:
      read = self._order[index]
      if read.sample is None:
        raise errors.UserError(
          f"cannot resume: {read.failure.detail}; it was read without error"
          " before"
        )
      # No row comes of it: as many waited before.
      packer.add((index, read.sample), packing.sizes(read.sample))
    return packer

  def __next__(self) -> tuple[Batch, dict[str, Any], stream_positions.Position]:
    # Not in `__init__`: the iterator that grain makes in the parent of the workers
    # should read nothing.
    if self._packer is None:
      self._packer = self._wait_again()
    rows: list[list[samples_lib.Sample]] = []
    reads: list[Read] = []
    failures = 0  # one after another
    while len(rows) < self._layout.batch:
      read = next(self._parent)
      reads.append(read)
      # Grain gives the reads in order, so their indices can be counted here.
      index = self._begin.index(self._count)
      self._count += 1
      if read.sample is None:
        failures += 1
        if failures >= _FAILURES:
          # The order is endless, and only a batch tells of failures.
          raise errors.UserError(
            f"{failures} records one after another cannot be used; the last:"
            f" {read.failure.detail if read.failure else 'unknown'}"
          )
        continue
      failures = 0
      sizes = packing.sizes(read.sample)
      row = self._packer.add((index, read.sample), sizes)
      if row is not None:
        rows.append([sample for _, sample in row])
    return self._layout.stack(rows), summary(reads), self._position()

  def _position(self) -> stream_positions.Position:
    if self._packer is None:
      return self._begin
    waiting = [index for index, _ in self._packer.waiting]
    return self._begin.after(self._count, waiting)

  def get_state(self) -> dict[str, Any]:
    """Grain asks for one with every batch; a loader resumes by positions."""
    return dataclasses.asdict(self._position())

  def set_state(self, state: dict[str, Any]) -> None:
    raise NotImplementedError("begin at a position instead")

"""The input pipeline: from a folder of records to batches.

For training, each dataset is shuffled as a whole, anew each epoch, without
end. The datasets are mixed by weight and the mixture is shuffled once more
inside windows, so that hosts and their worker processes, which take every n-th
sample of it, see no regular pattern. All this is random access: nothing waits
in memory for a shuffle, and what remains of the order is a few numbers
(`stream_positions`), whatever the number of hosts. Reader threads make samples,
`packed` makes batches of them, ahead of the loop.

A record that fails is left out, counted and named; too many stop the run.

`prompt_batches` makes those of generation.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import grain
import numpy as np
from absl import flags

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Batch
from crab_jax.data import loader
from crab_jax.data import media_cache
from crab_jax.data import packed
from crab_jax.data import packing
from crab_jax.data import prepared_records
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import stream_positions
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers


def train_loader(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  data: configs.Data,
  model: configs.Model,
  rows: configs.Rows,
  *,
  mixture: Mapping[str, float] | None = None,
  targets: str = "reasoning",
  split: str = "train",
  seed: int | None = None,
  process_index: int = 0,
  process_count: int = 1,
  cache: media_cache.Cache | None = None,
) -> loader.Loader:
  """The endless batches of one host for one stage.

  Args:
    prepared: the records.
    tokenizer: gives ids and padding.
    data: prompts, template, positions, shuffling, threads, workers, seed,
      and how many failed records are tolerated.
    model: sizes of frames, chunks and the vocabulary.
    rows: the shape of a row; `rows.rows` over all hosts.
    mixture: dataset -> weight; None: all datasets of the folder, by size.
    targets: "reasoning" or "answer", see `configs.Stage`.
    split: which records.
    seed: of the order; None: `data.seed`.
    process_index: this host.
    process_count: hosts; they read different records.
    cache: keeps decoded media; of no use with `data.workers`, which each
      have their own.

  Raises:
    UserError: no such records, an unknown dataset, a damaged or missing file,
      or rows that the hosts cannot share equally.
  """
  if rows.rows % process_count:
    raise errors.UserError(
      f"Rows.rows={rows.rows} must be a multiple of the {process_count} hosts"
    )
  maker = samples.sample_maker(
    tokenizer, data, model, prepared.table, targets, cache
  )
  found = sources.open_mixture(prepared, split, mixture)
  order = _mixture(
    prepared.table,
    {n: packed.SampleSource(found[n], maker, rows) for n in found},
    mixture or {name: float(len(source)) for name, source in found.items()},
    data.seed if seed is None else seed,
    data.shuffle_window,
  )
  layout = packing.Layout(
    rows.rows // process_count, rows, model, tokenizer.pad
  )
  options = grain.ReadOptions(
    num_threads=data.threads, prefetch_buffer_size=8 * data.threads
  )

  def make(streams: Sequence[stream_positions.Position]) -> grain.IterDataset:
    return _ahead(packed.PackedDataset(order, layout, options, streams), data)

  # A host reads its share: the tolerated failures are counted by that.
  sizes = {n: -(-len(found[n]) // process_count) for n in found}
  tally = loader.Tally(prepared.table, sizes, data)
  streams = max(data.workers, 1)
  return loader.Loader(make, tally, process_index, process_count, streams)


def _mixture(
  table: tasks.Tasks,
  parts: Mapping[str, packed.SampleSource],
  weights: Mapping[str, float],
  seed: int,
  window: int,
) -> grain.MapDataset:
  """The endless mixture of samples that all hosts share."""
  datasets = []
  for name, part in parts.items():
    # From a constant of the dataset's row: its order is the same beside any other
    # datasets.
    own_seed = np.random.SeedSequence([seed, table[name].seed])
    dataset = grain.MapDataset.source(part)
    dataset = dataset.shuffle(seed=int(own_seed.generate_state(1)[0]))
    # Behind the shuffle, which grain seeds anew for every epoch.
    datasets.append(dataset.repeat())
  mixed = grain.MapDataset.mix(datasets, [weights[name] for name in parts])
  if window <= 1:
    return mixed
  return grain.experimental.WindowShuffleMapDataset(
    mixed, window_size=window, seed=seed
  )


def _ahead(dataset: grain.IterDataset, data: configs.Data) -> grain.IterDataset:
  """Makes batches before they are asked for."""
  if not data.workers:
    return grain.experimental.ThreadPrefetchIterDataset(
      dataset, prefetch_buffer_size=data.prefetch
    )
  if not flags.FLAGS.is_parsed():
    # Outside a command (a notebook, a test) grain's workers need its defaults.
    flags.FLAGS.mark_as_parsed()
  # Whole batches cross from a worker in shared memory, each worker's turn.
  each = max(-(-data.prefetch // data.workers), 1)
  return dataset.mp_prefetch(
    grain.MultiprocessingOptions(data.workers, per_worker_buffer_size=each)
  )


def one_pass(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  data: configs.Data,
  model: configs.Model,
  rows: configs.Rows,
  *,
  split: str = "val",
  mixture: Mapping[str, float] | None = None,
  targets: str = "reasoning",
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[Batch]:
  """Every record of a split once, packed: for a validation loss.

  Hosts read different records, and may have different numbers of batches; the
  last rows of the last batch may be empty. For the arguments and errors see
  `train_loader`; a mixture's weights only choose.
  """
  maker = samples.sample_maker(tokenizer, data, model, prepared.table, targets)
  found = sources.open_mixture(prepared, split, mixture)
  tally = loader.Tally(
    prepared.table,
    {name: len(source) for name, source in found.items()},
    data,
  )
  parts = [packed.SampleSource(found[name], maker, rows) for name in found]
  # Shuffled: rows of many lengths pack better than one dataset by another.
  reads = grain.MapDataset.concatenate(
    [grain.MapDataset.source(part) for part in parts]
  ).shuffle(seed=data.seed)[process_index::process_count]
  layout = packing.Layout(
    rows.rows // process_count, rows, model, tokenizer.pad
  )
  packer = packing.Packer(rows)
  waiting, seen = [], []
  for read in reads.to_iter_dataset(
    grain.ReadOptions(data.threads, 8 * data.threads)
  ):
    seen.append(read)
    if read.sample is not None:
      row = packer.add(read.sample, packing.sizes(read.sample))
      waiting += [row] if row else []
    if len(waiting) == layout.batch:
      yield _counted(layout.stack(waiting), seen, tally)
      waiting, seen = [], []
  while row := packer.pop():
    waiting.append(row)
  for start in range(0, len(waiting), layout.batch):
    batch = layout.stack(waiting[start : start + layout.batch])
    yield _counted(batch, seen, tally)
    seen = []


def _counted(
  batch: Batch, seen: list[packed.Read], tally: loader.Tally
) -> Batch:
  tally.add(batch, packed.summary(seen))
  return batch

"""Batches for generation: one prompt a row, the shortest prompts first.

Nothing here shuffles, mixes or packs, and no grain is loaded.
"""

import collections
import concurrent.futures
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from crab_jax import batch as batch_lib
from crab_jax.array_types import Batch
from crab_jax.data import packing
from crab_jax.data import records
from crab_jax.data import samples

NO_LEAST = samples.Lengths(0, 0, 0)
Failed = list[tuple[records.Record, str]]


def batches(
  chosen: Iterable[records.Record],
  maker: samples.SampleMaker,
  batch: int,
  threads: int = 2,
  least: samples.Lengths = NO_LEAST,
) -> Iterator[tuple[list[records.Record], Batch | None, Failed]]:
  """Batches for generation: one prompt a row, the shortest first.

  Tokens are rounded up to a bucket (`batch.prompt_rows`). Frame pairs and
  chunks are the most that any batch of the same bucket needs, rounded up too,
  so there are at most as many shapes as buckets: give all the prompts at once.

  Args:
    chosen: records, of any datasets; of a sequence only those of the next
      batches are held, and each is asked for twice.
    maker: makes the prompts.
    batch: rows of a batch; the last one is filled up with empty rows.
    threads: that decode media, one batch ahead.
    least: what every batch has room for; with that of a larger choice of
      records, a smaller choice takes its shapes.

  Yields:
    The records of the rows, in order; the batch, None if all of them failed;
    the records that failed, each with its reason (see `samples.SampleError`).
  """
  if not isinstance(chosen, Sequence):
    chosen = list(chosen)  # each is asked for twice
  lengths, failed = _prompt_lengths(chosen, maker)
  if failed:
    yield [], None, failed
  layouts = _prompt_layouts(lengths, maker, batch, least)
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    pending: collections.deque[tuple] = collections.deque()
    for group, layout in layouts:
      read = [chosen[index] for index in group]
      made = [pool.submit(maker.prompt, record) for record in read]
      pending.append((read, made, layout))
      # One batch ahead: threads decode it while the device works.
      if len(pending) > 1:
        yield _prompt_batch(*pending.popleft())
    while pending:
      yield _prompt_batch(*pending.popleft())


def _prompt_lengths(
  chosen: Sequence[records.Record], maker: samples.SampleMaker
) -> tuple[dict[int, samples.Lengths], Failed]:
  """Index -> lengths of the prompt, and the records that have none."""
  lengths, failed = {}, []
  for index, record in enumerate(chosen):
    try:
      lengths[index] = maker.prompt_lengths(record)
    except samples.SampleError as error:
      failed.append((record, error.reason))
  return lengths, failed


def _prompt_layouts(
  lengths: dict[int, samples.Lengths],
  maker: samples.SampleMaker,
  batch: int,
  least: samples.Lengths,
) -> list[tuple[list[int], packing.Layout]]:
  """The indices and the layout of each batch."""
  # Prompts of like length together: a batch is as long as its longest.
  order = sorted(lengths, key=lambda index: lengths[index].tokens)
  groups = [order[i : i + batch] for i in range(0, len(order), batch)]
  pairs: collections.Counter[int] = collections.Counter()
  chunks: collections.Counter[int] = collections.Counter()
  sizes = []
  for group in groups:
    longest = max(least.tokens, *(lengths[index].tokens for index in group))
    size = batch_lib.bucket(longest, batch_lib.TOKEN_BUCKETS)
    sizes.append(size)
    for index in group:
      # One shape for all batches of a bucket, or each would compile its own.
      pairs[size] = max(pairs[size], lengths[index].pairs, least.pairs)
      chunks[size] = max(chunks[size], lengths[index].chunks, least.chunks)
  layouts = []
  for group, size in zip(groups, sizes, strict=True):
    rows = batch_lib.prompt_rows(batch, size, pairs[size], chunks[size])
    pad = maker.chat.tokenizer.pad
    layouts.append((group, packing.Layout(batch, rows, maker.model, pad)))
  return layouts


def _prompt_batch(
  group: list[records.Record],
  made: list[concurrent.futures.Future],
  layout: packing.Layout,
) -> tuple[list[records.Record], Batch | None, Failed]:
  """One item of `batches`."""
  used, prompts, failed = [], [], []
  for record, future in zip(group, made, strict=True):
    try:
      prompts.append([future.result()])
      used.append(record)
    except samples.SampleError as error:
      failed.append((record, error.reason))
  return used, layout.stack(prompts) if used else None, failed

"""The preparation on this machine: a process a core, and none is missed.

A decoder may crash on a damaged file, or ask for all memory and be killed. The
row that a process died at is tried again in a process of its own; one that
dies again is counted as `crashed`, and the preparation goes on behind it.
"""

import functools

from crab_jax import errors
from crab_jax.data import journal
from crab_jax.data import preparer as preparer_lib
from crab_jax.data import worker_pool


def run(preparer: preparer_lib.Preparer, shards: list[journal.Shard]) -> None:
  """Makes the shards.

  Raises:
    UserError: processes die without any row to blame.
    OSError: the disk is full.
  """
  wanted = preparer.config.workers or worker_pool.cores()
  while True:
    try:
      worker_pool.run(
        preparer.write,
        shards,
        steps=sum(len(shard.rows) for shard in shards),
        workers=max(1, min(wanted, len(shards))),
        title="prepare",
        # A decoder that crashes must not take this process with it.
        apart=True,
      )
      return
    except worker_pool.Died as error:
      # The pool does not say which process died: each row at which one was is
      # tried alone.
      suspects = [shard for shard in shards if _is_begun(preparer, shard)]
      if not suspects:
        raise errors.UserError(
          "worker processes die before they read anything: is there enough"
          " memory?"
        ) from error
      for shard in suspects:
        _retry(preparer, shard)


def _is_begun(preparer: preparer_lib.Preparer, shard: journal.Shard) -> bool:
  """Whether a process was at a row of a shard."""
  row = journal.next_row(shard, preparer.out)
  return row is not None and row < shard.first_row + len(shard.rows)


def _retry(preparer: preparer_lib.Preparer, shard: journal.Shard) -> None:
  """Makes the next row of a shard alone, or counts it as crashed."""
  try:
    worker_pool.run(
      functools.partial(_next_row, preparer),
      [shard],
      steps=1,
      workers=1,
      title="retry",
      apart=True,
    )
  except worker_pool.Died:
    preparer.give_up(shard)


def _next_row(
  preparer: preparer_lib.Preparer,
  shard: journal.Shard,
  tick: worker_pool.Tick,
) -> None:
  preparer.write(shard, tick, rows=1)

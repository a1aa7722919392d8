"""A pool of processes with a progress bar, which dies with its parent.

Work is cut into items of many steps; an item's function calls `tick` after
each step. Workers are forked from a server that holds no threads, so that the
pool can run beside an initialised JAX.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tqdm

_POLL_SECONDS = 0.2  # between two updates of the bar


Tick = Callable[[int], Any]  # says that so many more steps are done


class Died(Exception):
  """A worker process was killed, or crashed in native code."""


class _Stopped(Exception):
  """The parent wants the workers to end."""


def cores() -> int:
  """Processor cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def run(
  work: Callable[[Any, Tick], None],
  items: Sequence[Any],
  steps: int,
  workers: int,
  title: str,
  unit: str = "record",
  apart: bool = False,
) -> None:
  """Calls `work(item, tick)` for every item.

  Args:
    work: picklable, like the items.
    items: in the order in which they are begun.
    steps: how many ticks to expect in all.
    workers: processes; 1: no other process is started, unless `apart`.
    title: stands before the bar, which shows on a terminal only.
    unit: of the steps.
    apart: whether even one worker has a process of its own, which may die.

  Raises:
    Died: a worker process is gone.
  """
  with tqdm.tqdm(total=steps, desc=title, unit=unit, disable=None) as bar:
    if workers == 1 and not apart:
      for item in items:
        work(item, bar.update)
    else:
      _run_pool(work, items, workers, bar)


def _run_pool(work, items, workers: int, bar: tqdm.tqdm) -> None:
  # Not "fork": it would copy the locks of jax's threads, held or not.
  context = multiprocessing.get_context("forkserver")
  module = getattr(work, "func", work).__module__
  context.set_forkserver_preload([module])  # imported once for all
  # No locks: a worker that is killed while it holds one would never let go.
  # Each item has a counter of its own, which one worker writes.
  counters = context.RawArray("q", max(1, len(items)))
  stop = context.RawValue("b", 0)
  executor = concurrent.futures.ProcessPoolExecutor(
    workers, context, _begin, (counters, stop)
  )
  try:
    waiting = {
      executor.submit(_call, work, index, item)
      for index, item in enumerate(items)
    }
    while waiting:
      done, waiting = concurrent.futures.wait(waiting, _POLL_SECONDS)
      bar.update(sum(counters) - bar.n)
      for future in done:
        future.result()
  except concurrent.futures.process.BrokenProcessPool as error:
    raise Died() from error
  finally:
    # `shutdown` waits for the workers: they end at their next tick.
    stop.value = 1
    executor.shutdown(cancel_futures=True)


class _Worker:
  """What a worker process shares with its parent."""

  counters: Any = None
  index: int = 0  # of the item at work
  stop: Any = None


def _begin(counters, stop) -> None:
  """Prepares a worker process."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
  _Worker.counters, _Worker.stop = counters, stop
  threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
  """Ends this worker with its parent."""
  # The next preparation may write the same shard: two at once would spoil it.
  parent = multiprocessing.parent_process()
  assert parent is not None  # this is a worker
  parent.join()
  os._exit(1)


def _call(work, index: int, item) -> None:
  _Worker.index = index
  with contextlib.suppress(_Stopped):
    work(item, _tick)


def _tick(steps: int) -> None:
  _Worker.counters[_Worker.index] += steps
  if _Worker.stop.value:
    raise _Stopped()

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

_POLL_SECONDS = 0.2


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
) -> None:
  """Calls `work(item, tick)` for every item.

  Args:
    work: picklable, like the items.
    items: in the order in which they are begun.
    steps: how many ticks to expect in all.
    workers: processes; 1: no other process is started.
    title: stands before the bar, which shows on a terminal only.
    unit: of the steps.

  Raises:
    Died: a worker process is gone.
  """
  with tqdm.tqdm(total=steps, desc=title, unit=unit, disable=None) as bar:
    if workers == 1:
      for item in items:
        work(item, bar.update)
    else:
      _run_pool(work, items, workers, bar)


def _run_pool(work, items, workers: int, bar: tqdm.tqdm) -> None:
  context = multiprocessing.get_context("forkserver")
  context.set_forkserver_preload([work.__module__])  # imported once for all
  counter, stop = context.Value("q", 0), context.Event()
  executor = concurrent.futures.ProcessPoolExecutor(
    workers, context, _begin, (counter, stop)
  )
  try:
    waiting = {executor.submit(_call, work, item) for item in items}
    while waiting:
      done, waiting = concurrent.futures.wait(waiting, _POLL_SECONDS)
      bar.update(counter.value - bar.n)
      for future in done:
        future.result()
  except concurrent.futures.process.BrokenProcessPool as error:
    raise Died() from error
  finally:
    stop.set()
    executor.shutdown(cancel_futures=True)


class _Worker:
  """What a worker process shares with its parent."""

  counter: Any = None
  stop: Any = None


def _begin(counter, stop) -> None:
  """Prepares a worker process."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
  _Worker.counter, _Worker.stop = counter, stop
  threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
  """Two preparations of one shard at once would spoil it."""
  parent = multiprocessing.parent_process()
  assert parent is not None  # this is a worker
  parent.join()
  os._exit(1)


def _call(work, item) -> None:
  with contextlib.suppress(_Stopped):
    work(item, _tick)


def _tick(steps: int) -> None:
  with _Worker.counter.get_lock():
    _Worker.counter.value += steps
  if _Worker.stop.is_set():
    raise _Stopped()

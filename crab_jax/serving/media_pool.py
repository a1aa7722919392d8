"""The processes that open the media of a server's requests.

A file goes to the same process while that is idle, as it may still have it
decoded.
"""

import asyncio
import concurrent.futures

from absl import logging

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.serving import failures
from crab_jax.serving import opening
from crab_jax.serving import worker as worker_lib


class Pool:
  """Workers for the requests of an event loop.

  Args:
    maker: makes prompts.
    limits: how many workers, and of what.
  """

  def __init__(self, maker: samples.SampleMaker, limits: configs.Serving):
    arguments = (maker, limits)
    self.workers = [
      worker_lib.Worker(opening.Opener, arguments, limits)
      for _ in range(limits.media_workers)
    ]
    self._idle = list(self.workers)
    self._freed = asyncio.Condition()
    self._threads = concurrent.futures.ThreadPoolExecutor(
      limits.media_workers, "media"
    )
    self.waiting = 0  # requests without a worker

  async def start(self) -> None:
    """Starts all workers and waits until they are ready."""
    loop = asyncio.get_running_loop()
    starts = [
      loop.run_in_executor(self._threads, worker.start)
      for worker in self.workers
    ]
    await asyncio.gather(*starts)

  async def open(self, request: opening.Request) -> opening.Opened:
    """The prompts of a request.

    Raises:
      Failure: the media cannot be asked about, or killed their worker.
    """
    worker = await self._take(request)
    loop = asyncio.get_running_loop()
    asking = loop.run_in_executor(self._threads, worker.ask, request)
    try:
      # Shielded: a worker whose request was cancelled is busy until it ends.
      return await asyncio.shield(asking)
    except worker_lib.Died as error:
      logging.warning("a worker that opened media is replaced: %s", error)
      raise failures.Failure(
        400, "bad_media", f"the media cannot be opened: {error}", "messages"
      ) from error
    finally:
      if asking.done():
        await self._give(worker)
      else:
        asking.add_done_callback(
          lambda done: loop.create_task(self._give_after(worker, done))
        )

  async def _take(self, request: opening.Request) -> worker_lib.Worker:
    """An idle worker; of several the one that had the same file before."""
    names = [medium.path.name for medium in request.media]
    wanted = self.workers[hash(names[0] if names else "") % len(self.workers)]
    self.waiting += 1
    try:
      async with self._freed:
        await self._freed.wait_for(lambda: self._idle)
        worker = wanted if wanted in self._idle else self._idle[0]
        self._idle.remove(worker)
        return worker
    finally:
      self.waiting -= 1

  async def _give_after(
    self, worker: worker_lib.Worker, done: asyncio.Future
  ) -> None:
    done.exception()  # nobody waits for it any longer
    await self._give(worker)

  async def _give(self, worker: worker_lib.Worker) -> None:
    async with self._freed:
      self._idle.append(worker)
      self._freed.notify()

  def stop(self) -> None:
    """Kills all workers."""
    for worker in self.workers:
      worker.kill()
    self._threads.shutdown(wait=True, cancel_futures=True)
    for worker in self.workers:
      worker.stop()

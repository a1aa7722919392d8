"""One request that is answered: its media, its jobs, its events.

A job a task. The engine's thread hands its events over, all else is in the
event loop.
"""

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from absl import logging

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.evaluation import folder
from crab_jax.serving import asked
from crab_jax.serving import events
from crab_jax.serving import failures
from crab_jax.serving import interface
from crab_jax.serving import media_pool
from crab_jax.serving import metrics as metrics_lib
from crab_jax.serving import opening
from crab_jax.serving import protocol
from crab_jax.serving import regions
from crab_jax.serving import replies
from crab_jax.serving import streaming


class Server(Protocol):
  """What a request takes of the `Service` that answers it."""

  model: folder.Model
  engine: interface.Engine
  limits: configs.Serving
  table: tasks.Tasks
  rules: protocol.Rules
  pool: media_pool.Pool
  metrics: metrics_lib.Metrics
  masks: regions.Regions | None
  pictures: frozenset[str]
  is_draining: bool

  async def media(
    self, request: asked.Asked, owner: str, held: contextlib.ExitStack
  ) -> tuple[opening.Medium, ...]: ...

  def submit(self, job: interface.Job) -> interface.Handle: ...

  async def gates_of(self, answer: replies.Answer) -> dict | None: ...


class Run:
  """One request that is answered."""

  def __init__(
    self,
    service: Server,
    request: asked.Asked,
    owner: str,
    size: int,
  ):
    self._service, self._request, self._owner = service, request, owner
    self.size = size
    self._arrived = time.monotonic()
    self._deadline = self._arrived + service.limits.request_seconds
    self._loop = asyncio.get_running_loop()
    self._queue: asyncio.Queue = asyncio.Queue()
    self._jobs: dict[str, _Job] = {}

  def end(self, failure: failures.Failure) -> None:
    """Ends the request with a failure, soon."""
    self._queue.put_nowait((None, failure))

  def cancel(self) -> None:
    """Ends all jobs."""
    for job in self._jobs.values():
      job.handle.cancel()

  async def all_events(
    self, held: contextlib.ExitStack, previews: bool
  ) -> AsyncGenerator[events.Event]:
    """See `Service.answer`."""
    async for event in self._open(held, previews):
      yield event
    while self._jobs:
      name, event = await self._next()
      if event is None:
        yield events.Waiting(
          max(j.handle.waiting_ahead() for j in self._jobs.values())
        )
        continue
      if isinstance(event, failures.Failure):
        raise event
      if name not in self._jobs:
        continue  # a late event of a job that a stop string has ended
      async for out in self._told(self._jobs[name], event):
        yield out

  async def _open(
    self, held: contextlib.ExitStack, previews: bool
  ) -> AsyncGenerator[events.Event]:
    """Opens the media and submits a job a task."""
    service, begun = self._service, time.monotonic()
    opening_task = asyncio.create_task(self._opened(held, previews))
    try:
      while not opening_task.done():
        await asyncio.wait({opening_task}, timeout=service.limits.wait_seconds)
        if not opening_task.done():
          yield events.Waiting(service.pool.waiting)
        if not self._queue.empty():  # only an end can stand there now
          raise self._queue.get_nowait()[1]
      opened = opening_task.result()
    finally:
      if not opening_task.done():
        opening_task.cancel()
        with contextlib.suppress(asyncio.CancelledError, failures.Failure):
          await opening_task
    service.metrics.media.labels("clip").observe(time.monotonic() - begun)
    yield events.Opened(opened)
    group = secrets.token_hex(8) if len(opened.prompts) > 1 else None
    for name, prompt in opened.prompts.items():
      failure = prompt if isinstance(prompt, failures.Failure) else None
      if not isinstance(prompt, failures.Failure):
        try:
          self._submit(name, prompt, group)
        except failures.Failure as error:
          failure = error
      if failure is not None:
        yield events.Failed(name, failure)

  async def _opened(
    self, held: contextlib.ExitStack, previews: bool
  ) -> opening.Opened:
    service, request = self._service, self._request
    try:
      async with asyncio.timeout(self._deadline - time.monotonic()):
        media = await service.media(request, self._owner, held)
        return await service.pool.open(
          opening.Request(
            media,
            request.tasks,
            request.wording,
            service.engine.limits.prompt,
            previews,
            service.pictures,
          )
        )
    except TimeoutError:
      raise self._too_late() from None

  def _submit(
    self, name: str, prompt: opening.Prompt, group: str | None
  ) -> None:
    task = self._service.table[name]
    if task.name == asked.FREE and self._service.model.config.reads_tasks:
      failures.invalid(
        "unsupported_question",
        "the router of this model reads tasks: it answers crab:{task} alone",
        "model",
      )

    def tell(event: interface.Event) -> None:  # in the engine's thread
      with contextlib.suppress(RuntimeError):  # the loop is closed
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (name, event))

    job = interface.Job(
      sample=prompt.sample,
      on_event=tell,
      decoding=self._decoding(),
      owner=self._owner,
      group=group,
      deadline=self._deadline,
    )
    handle = self._service.submit(job)
    tokenizer = self._service.model.tokenizer
    text = streaming.Detokeniser(tokenizer.decode, self._request.sampling.stop)
    self._jobs[name] = _Job(task, prompt, handle, text)

  def _decoding(self) -> interface.Decoding:
    sampling = self._request.sampling
    seed = sampling.seed
    return interface.Decoding(
      max_new_tokens=sampling.max_new_tokens
      or self._service.rules.max_new_tokens,
      temperature=sampling.temperature,
      top_k=sampling.top_k,
      top_p=sampling.top_p,
      seed=secrets.randbits(32) if seed is None else seed % 2**32,
      repetition_penalty=sampling.repetition_penalty,
      ignore_eos=sampling.ignore_eos,
    )

  async def _next(self):
    """The next event; (None, None): none came for a while."""
    try:
      return await asyncio.wait_for(
        self._queue.get(), self._service.limits.wait_seconds
      )
    except TimeoutError:
      return None, None

  async def _told(
    self, job: "_Job", event: interface.Event
  ) -> AsyncGenerator[events.Event]:
    """What an event of the engine means for the client."""
    name = job.task.name
    if isinstance(event, interface.Started):
      job.cached_tokens = event.cached_tokens
      self._service.metrics.queue.observe(time.monotonic() - self._arrived)
      yield events.Started(name)
    elif isinstance(event, interface.Tokens):
      self._time(job, len(event.ids))
      if piece := job.text.add(event.ids):
        yield events.Text(name, piece, job.usage())
      if job.text.stopped:
        job.handle.cancel()
        yield await self._finish(job, interface.Reason.STOP)
    elif event.reason in (interface.Reason.STOP, interface.Reason.LENGTH):
      if piece := job.text.finish():
        yield events.Text(name, piece, job.usage())
      yield await self._finish(job, event.reason)
    else:
      del self._jobs[name]
      yield events.Failed(name, self._failure(event))

  def _time(self, job: "_Job", count: int) -> None:
    now, metrics = time.monotonic(), self._service.metrics
    if job.last is None:
      metrics.first.observe(now - self._arrived)
    else:
      metrics.between.observe((now - job.last) / count)
    job.last = now

  async def _finish(
    self, job: "_Job", reason: interface.Reason
  ) -> replies.Answer:
    del self._jobs[job.task.name]
    answer = replies.Answer(
      task=job.task,
      text=job.text.text,
      finish=reason.value,
      prompt=job.prompt,
      new_tokens=job.text.tokens,
      cached_tokens=job.cached_tokens,
      seconds=time.monotonic() - self._arrived,
    )
    metrics = self._service.metrics
    metrics.whole.labels(job.task.name).observe(answer.seconds)
    if replies.parsed(answer).failure:
      metrics.unread.labels(job.task.name).inc()
    if self._service.limits.log_text:
      logging.warning("%s: %s", job.task.name, answer.text)
    if self._request.gates and self._service.model.config.routes:
      found = await self._service.gates_of(answer)
      answer = dataclasses.replace(answer, gates=found)
    if self._service.masks is not None:
      drawn = await asyncio.to_thread(self._service.masks, answer)
      answer = dataclasses.replace(answer, mask=drawn)
    return answer

  def _failure(self, event: interface.Finished) -> failures.Failure:
    if event.reason == interface.Reason.DEADLINE:
      return self._too_late()
    if self._service.is_draining:
      return failures.draining()
    logging.error("the engine ended a job: %s %s", event.reason, event.error)
    return failures.internal()

  def _too_late(self) -> failures.Failure:
    seconds = self._service.limits.request_seconds
    return failures.Failure(
      504, "deadline", f"the answer took over {seconds:g} s"
    )


@dataclasses.dataclass
class _Job:
  """One task of a request, with the engine."""

  task: tasks.Task
  prompt: opening.Prompt
  handle: interface.Handle
  text: streaming.Detokeniser
  cached_tokens: int = 0
  last: float | None = None  # when its last tokens came

  def usage(self) -> dict:
    """The counts of tokens so far."""
    return replies.usage(self.prompt, self.text.tokens, self.cached_tokens)

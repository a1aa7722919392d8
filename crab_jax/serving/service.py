"""From a request to its answers: media, prompts, the engine, text.

Everything here runs in one event loop; the engine's thread hands its events
over. A request holds its media, its place in the queue and its jobs as long as
`Service.answer` is iterated, and no longer: who leaves frees its slot.
"""

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import AsyncGenerator
from collections.abc import Iterator

from absl import logging

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data.media import frames as video_frames
from crab_jax.evaluation import folder
from crab_jax.evaluation.masking import clip_masks
from crab_jax.evaluation.masking import prompts as mask_prompts
from crab_jax.serving import asked
from crab_jax.serving import failures
from crab_jax.serving import fetching
from crab_jax.serving import gates as gates_lib
from crab_jax.serving import interface
from crab_jax.serving import keys as keys_lib
from crab_jax.serving import media_pool
from crab_jax.serving import metrics as metrics_lib
from crab_jax.serving import opening
from crab_jax.serving import protocol
from crab_jax.serving import regions
from crab_jax.serving import replies
from crab_jax.serving import streaming
from crab_jax.serving import uploads


@dataclasses.dataclass(frozen=True)
class Waiting:
  """The request waits; so many others are before it."""

  ahead: int


@dataclasses.dataclass(frozen=True)
class Opened:
  """The media are open."""

  opened: opening.Opened


@dataclasses.dataclass(frozen=True)
class Started:
  """A task has got a slot."""

  task: str


@dataclasses.dataclass(frozen=True)
class Text:
  """More of an answer.

  Attributes:
    task: whose.
    piece: not empty.
    usage: the counts of tokens so far.
  """

  task: str
  piece: str
  usage: dict


@dataclasses.dataclass(frozen=True)
class Failed:
  """A task has no answer, or none to its end."""

  task: str
  failure: failures.Failure


Event = Waiting | Opened | Started | Text | replies.Answer | Failed


class Service:
  """What the routes of a server call.

  Args:
    model: that answers.
    engine: makes tokens.
    maker: makes prompts; its table has the free question.
    limits: of requests.
    store: of media.
    keys: of clients.
    vllm_names: see `metrics.Metrics`.
    fetcher: of media of other hosts; None: one by the limits.
    masks: draws what answers point at; None: nothing does.
  """

  def __init__(
    self,
    model: folder.Model,
    engine: interface.Engine,
    maker: samples.SampleMaker,
    limits: configs.Serving,
    store: uploads.Store,
    keys: keys_lib.Keys,
    vllm_names: bool = False,
    fetcher: fetching.Fetcher | None = None,
    masks: clip_masks.ClipMasks | None = None,
  ):
    self.model, self.engine, self.limits = model, engine, limits
    self.store, self.keys, self.table = store, keys, maker.table
    self.rules = protocol.Rules(maker.table, limits, engine.limits.new_tokens)
    self.pool = media_pool.Pool(maker, limits)
    self.metrics = metrics_lib.Metrics(engine.stats, self._depths, vllm_names)
    self.is_draining = False
    self._fetcher = fetcher or fetching.Fetcher(limits)
    engine.observe(self.metrics)
    self._gates = gates_lib.Gates(model, maker)
    self.masks = regions.Regions(masks) if masks else None
    # Tasks whose answers become masks.
    masked = [t.name for t in maker.table.values() if mask_prompts.is_masked(t)]
    self.pictures = frozenset(masked if masks else ())
    self._running: set[_Run] = set()

  @property
  def running(self) -> int:
    """Requests that are answered or wait."""
    return len(self._running)

  def _depths(self) -> dict[str, int]:
    return {"received": len(self._running), "media": self.pool.waiting}

  @property
  def is_ready(self) -> bool:
    """Whether requests are answered at once."""
    return self.engine.ready and not self.is_draining

  def require_open(self) -> None:
    """Checks that requests are accepted.

    Raises:
      Failure: 503.
    """
    if self.is_draining:
      raise failures.draining()
    if self.engine.failure is not None:
      raise failures.internal()
    if not self.engine.ready:
      raise failures.starting()

  def end_all(self) -> None:
    """Ends every running answer with an error."""
    for run in [*self._running]:
      run.end(failures.draining())

  async def answer(
    self, request: asked.Asked, owner: str, previews: bool = False
  ) -> AsyncGenerator[Event]:
    """Answers a request, event by event.

    Args:
      request: what is asked.
      owner: who asks.
      previews: whether `Opened` has frames for people.

    Raises:
      Failure: the request as a whole cannot be answered.
    """
    self.require_open()
    with contextlib.ExitStack() as held:
      held.enter_context(self.keys.running(owner))
      run = held.enter_context(self._admitted(request, owner))
      async with contextlib.aclosing(run.events(held, previews)) as events:
        async for event in events:
          yield event

  @contextlib.contextmanager
  def _admitted(self, request: asked.Asked, owner: str) -> "Iterator[_Run]":
    """A place in the queue.

    Raises:
      Failure: 429; there is none.
    """
    sources = [part.source for part in request.parts]
    size = sum(x.blob.size if x.blob else len(x.data or b"") for x in sources)
    held = sum(run.size for run in self._running)
    if (
      len(self._running) >= self.limits.queue
      or held + size > self.limits.queue_bytes
    ):
      raise queue_full(self._retry_seconds())
    run = _Run(self, request, owner, size)
    self._running.add(run)
    try:
      yield run
    finally:
      self._running.discard(run)
      run.cancel()

  def _retry_seconds(self) -> float:
    """When a place may be free: the queue times the mean time of an answer."""
    stats = self.engine.stats()
    mean = stats.decode_seconds / max(1, stats.new_tokens)
    tokens = self.rules.max_new_tokens * len(self._running)
    return min(60.0, max(1.0, mean * tokens / max(1, stats.slots)))

  async def media(
    self, request: asked.Asked, owner: str, held: contextlib.ExitStack
  ) -> tuple[opening.Medium, ...]:
    """The media of a request on the disk, held until the stack ends.

    Raises:
      Failure: one cannot be had.
    """
    found = []
    for part in request.parts:
      blob = await self._blob(part, owner)
      held.callback(self.store.release, blob)
      cut = video_frames.Cut(part.start or 0.0, part.end)
      found.append(opening.Medium(part.kind, blob.path, cut, part.param))
    return tuple(found)

  async def _blob(self, part: asked.Part, owner: str) -> uploads.Blob:
    source = part.source
    if source.file_id is not None:
      upload = self.store.get(source.file_id, owner, part.param)
      return self.store.hold(upload.blob)
    if source.blob is not None:
      return self.store.hold(source.blob)
    data = source.data
    if source.url is not None:
      data = await asyncio.to_thread(self._fetcher.read, source.url, part.param)
    assert data is not None  # one of them is set
    return self.store.put(data)

  def submit(self, job: interface.Job) -> interface.Handle:
    """Hands a job to the engine.

    Raises:
      Failure: it is not taken.
    """
    try:
      return self.engine.submit(job)
    except interface.TooLongError as error:
      raise failures.Failure(400, "too_long", str(error), "messages") from error
    except interface.QueueFullError as error:
      raise queue_full(error.retry_seconds) from error
    except interface.StoppingError as error:
      raise failures.draining() from error

  async def gates_of(self, answer: replies.Answer) -> dict | None:
    """The gates along an answer, by kind of token and one by one."""
    found = await asyncio.to_thread(
      self._gates, answer.prompt.record, answer.text
    )
    for head, value in enumerate(found["by_kind"].get("answer", ())):
      self.metrics.gate.labels(str(head)).set(value)
    return found


def queue_full(seconds: float) -> failures.Failure:
  """No place in the queue."""
  return failures.Failure(
    429,
    "queue_full",
    "rate limit: the server has as many requests as it can hold",
    None,
    seconds,
  )


class _Run:
  """One request that is answered."""

  def __init__(
    self, service: Service, request: asked.Asked, owner: str, size: int
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

  async def events(
    self, held: contextlib.ExitStack, previews: bool
  ) -> AsyncGenerator[Event]:
    """See `Service.answer`."""
    async for event in self._open(held, previews):
      yield event
    while self._jobs:
      name, event = await self._next()
      if event is None:
        yield Waiting(
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
  ) -> AsyncGenerator[Event]:
    """Opens the media and submits a job a task."""
    service, begun = self._service, time.monotonic()
    opening_task = asyncio.create_task(self._opened(held, previews))
    try:
      while not opening_task.done():
        await asyncio.wait({opening_task}, timeout=service.limits.wait_seconds)
        if not opening_task.done():
          yield Waiting(service.pool.waiting)
        if not self._queue.empty():  # only an end can stand there now
          raise self._queue.get_nowait()[1]
      opened = opening_task.result()
    finally:
      if not opening_task.done():
        opening_task.cancel()
        with contextlib.suppress(asyncio.CancelledError, failures.Failure):
          await opening_task
    service.metrics.media.labels("clip").observe(time.monotonic() - begun)
    yield Opened(opened)
    group = secrets.token_hex(8) if len(opened.prompts) > 1 else None
    for name, prompt in opened.prompts.items():
      failure = prompt if isinstance(prompt, failures.Failure) else None
      if not isinstance(prompt, failures.Failure):
        try:
          self._submit(name, prompt, group)
        except failures.Failure as error:
          failure = error
      if failure is not None:
        yield Failed(name, failure)

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
  ) -> AsyncGenerator[Event]:
    """What an event of the engine means for the client."""
    name = job.task.name
    if isinstance(event, interface.Started):
      job.cached_tokens = event.cached_tokens
      self._service.metrics.queue.observe(time.monotonic() - self._arrived)
      yield Started(name)
    elif isinstance(event, interface.Tokens):
      self._time(job, len(event.ids))
      if piece := job.text.add(event.ids):
        yield Text(name, piece, job.usage())
      if job.text.stopped:
        job.handle.cancel()
        yield await self._finish(job, interface.Reason.STOP)
    elif event.reason in (interface.Reason.STOP, interface.Reason.LENGTH):
      if piece := job.text.finish():
        yield Text(name, piece, job.usage())
      yield await self._finish(job, event.reason)
    else:
      del self._jobs[name]
      yield Failed(name, self._failure(event))

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

"""From a request to its answers: media, prompts, the engine, text.

Everything here runs in one event loop; the engine's thread hands its events
over. A request holds its media, its place in the queue and its jobs as long as
`Service.answer` is iterated, and no longer: who leaves frees its slot.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from collections.abc import Iterator

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.data.media import frames as video_frames
from crab_jax.evaluation import folder
from crab_jax.evaluation.masking import clip_masks
from crab_jax.evaluation.masking import prompts as mask_prompts
from crab_jax.serving import answering
from crab_jax.serving import asked
from crab_jax.serving import events
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
from crab_jax.serving import uploads


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
    self._running: set[answering.Run] = set()

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
  ) -> AsyncGenerator[events.Event]:
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
      async with contextlib.aclosing(run.all_events(held, previews)) as found:
        async for event in found:
          yield event

  @contextlib.contextmanager
  def _admitted(
    self, request: asked.Asked, owner: str
  ) -> Iterator[answering.Run]:
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
    run = answering.Run(self, request, owner, size)
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

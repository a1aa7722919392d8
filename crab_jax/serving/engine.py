"""One thread owns the device: it reads prompts and decodes all slots.

The loop ends jobs that are cancelled or late, reads one prompt if a slot is
free, and decodes a burst; so a running answer waits for one prompt at most
between two of its tokens, or for the rest of its own group. See `interface.Engine`
for what callers may do.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.evaluation import folder
from crab_jax.serving import interface
from crab_jax.serving import prefixes
from crab_jax.serving import programs as programs_lib
from crab_jax.serving import scheduler
from crab_jax.serving import shapes
from crab_jax.training import generation_sharding

Reason = interface.Reason
# Weight of the newest in the running means of seconds.
_NEW = 0.2
_LONGEST_RETRY = 60.0  # seconds


@dataclasses.dataclass(eq=False)
class _Entry:
  """A job and where it stands."""

  job: interface.Job
  ticket: scheduler.Ticket
  submitted: float
  key: bytes | None  # of what it may share; None: nothing
  open: bool = True  # whether `Finished` is still to come


class Handle:
  """See `interface.Handle`."""

  def __init__(self, engine: "Engine", entry: _Entry):
    self._engine, self._entry = engine, entry

  def cancel(self) -> None:
    self._engine._cancel(self._entry)

  def waiting_ahead(self) -> int:
    return self._engine._ahead(self._entry)


class Engine:
  """See `interface.Engine`.

  Args:
    programs: of the model; the thread warms them up.
    clock: of deadlines.
  """

  def __init__(
    self,
    programs: programs_lib.Programs,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._programs, self._clock = programs, clock
    self._observer = interface.Observer()
    settings = programs.settings
    self._scheduler = scheduler.Scheduler(
      programs.slots, settings.queue, settings.burst, settings.burst_seconds
    )
    self._prefixes = prefixes.Prefixes(settings.prefix_bytes)
    # Guards the scheduler, the entries and the flags below.
    self._changed = threading.Condition()
    self._entries: dict[scheduler.Ticket, _Entry] = {}
    self._stop_at: float | None = None
    self._ready = False
    self._failure: BaseException | None = None
    self._warm = 0  # programs after the warm-up
    self._stats = interface.Stats(slots=programs.slots)
    self._step_seconds = self._service_seconds = 0.0
    self._thread = threading.Thread(
      target=self._main, name="engine", daemon=True
    )

  @property
  def limits(self) -> interface.Limits:
    return interface.Limits(
      self._programs.slots,
      self._programs.shapes[-1],
      self._programs.settings.new_tokens,
      self._programs.settings.queue,
    )

  @property
  def ready(self) -> bool:
    return self._ready

  @property
  def failure(self) -> BaseException | None:
    return self._failure

  def observe(self, observer: interface.Observer) -> None:
    self._observer = observer

  def start(self) -> None:
    self._thread.start()

  def submit(self, job: interface.Job) -> Handle:
    """See `interface.Engine.submit`."""
    needed = shapes.packed_lengths(job.sample)
    self._require_room(needed)
    limit = min(
      job.decoding.max_new_tokens,
      self._programs.settings.new_tokens,
      self._programs.config.decoder.context - needed.tokens,
    )
    ticket = scheduler.Ticket(limit, job.owner, job.group, job.deadline)
    # Hashed here, as the engine's thread is what everybody waits for.
    entry = _Entry(job, ticket, self._clock(), self._key(job.sample))
    with self._changed:
      if self._stop_at is not None or self._failure is not None:
        raise interface.StoppingError("the server takes no more requests")
      if not self._scheduler.add(ticket):
        raise interface.QueueFullError(self._retry_seconds())
      self._entries[ticket] = entry
      self._changed.notify()
    return Handle(self, entry)

  def stats(self) -> interface.Stats:
    with self._changed:
      made = self._programs.compilations - self._warm
      return dataclasses.replace(
        self._stats,
        slots_used=len(self._scheduler.running),
        waiting=self._scheduler.waiting,
        compilations=made if self._ready else 0,
      )

  def stop(self, seconds: float) -> None:
    """See `interface.Engine.stop`."""
    with self._changed:
      self._stop_at = self._clock() + seconds
      self._changed.notify()
    if self._thread.is_alive():
      self._thread.join()

  def _require_room(self, needed: samples.Lengths) -> None:
    if shapes.smallest(needed, self._programs.shapes) is not None:
      return
    most = self._programs.shapes[-1]
    for name, what in (
      ("tokens", "tokens"),
      ("pairs", "frame pairs"),
      ("chunks", "pieces of sound"),
    ):
      if (has := getattr(needed, name)) > (room := getattr(most, name)):
        raise interface.TooLongError(
          f"the prompt has {has} {what}, and there is room for {room}"
        )

  def _key(self, sample: samples.Sample) -> bytes | None:
    size, settings = prefixes.length(sample), self._programs.settings
    behind = len(sample["tokens"]) - size
    if not settings.prefix_bytes or not size:
      return None
    if not 0 < behind <= settings.suffix_tokens:
      return None
    return prefixes.key_of(sample, self._programs.config.reads_tasks)

  def _retry_seconds(self) -> float:
    turns = self._scheduler.waiting / self._scheduler.slots
    return float(np.clip(turns * self._service_seconds, 1.0, _LONGEST_RETRY))

  def _cancel(self, entry: _Entry) -> None:
    with self._changed:
      entry.ticket.cancelled = True
      self._changed.notify()

  def _ahead(self, entry: _Entry) -> int:
    with self._changed:
      return self._scheduler.ahead(entry.ticket)

  # What follows runs in the engine's thread.

  def _main(self) -> None:
    try:
      self._programs.warm_up()
      self._prefixes.reserve(self._programs.layout.mesh)
      self._warm = self._programs.compilations
      self._ready = True
      while self._turn():
        pass
      why = "the server stops"
    except BaseException as error:
      self._failure = error
      why = f"the engine has failed: {type(error).__name__}"
    self._ready = False
    with self._changed:
      if self._stop_at is None:
        self._stop_at = self._clock()
      rest = list(self._entries.values())
    for entry in rest:
      self._finish(entry, Reason.ERROR, why)

  def _turn(self) -> bool:
    """One round of the loop; False: it is over."""
    with self._changed:
      while not self._entries and self._stop_at is None:
        self._changed.wait()
      now = self._clock()
      if self._stop_at is not None and (
        not self._entries or now >= self._stop_at
      ):
        return False
    self._end_over(now)
    with self._changed:
      admitted = self._scheduler.admit()
    if admitted is not None:
      self._begin(*admitted)
    with self._changed:
      decodes = self._scheduler.running and not self._scheduler.gathers
    if decodes:
      self._burst()
    return True

  def _end_over(self, now: float) -> None:
    """Ends what is cancelled or late."""
    with self._changed:
      waiting, running = self._scheduler.over(now)
      for ticket in waiting:
        self._scheduler.withdraw(ticket)
      ended = [self._entries[ticket] for ticket in waiting]
    for slot in running:
      self._programs.release(slot)
      ended.append(self._entries[self._free(slot)])
    for entry in ended:
      cancelled = entry.ticket.cancelled
      self._finish(entry, Reason.CANCELLED if cancelled else Reason.DEADLINE)

  def _begin(self, slot: int, ticket: scheduler.Ticket) -> None:
    """Reads a prompt and puts it into its slot."""
    entry = self._entries[ticket]
    job, size = entry.job, len(entry.job.sample["tokens"])
    if not size or ticket.limit < 1:
      self._free(slot)
      self._tell(entry, interface.Started(size, 0))
      self._finish(entry, Reason.LENGTH)
      return
    began = time.perf_counter()
    read, cached = self._read(entry)
    token = self._programs.first_token(read)
    self._count_prompt(size, cached, read, time.perf_counter() - began)
    self._tell(entry, interface.Started(size, cached))
    ticket.made = 1
    stops = not job.decoding.ignore_eos
    if reason := self._reason(token, ticket, stops):
      self._free(slot)
    else:
      self._programs.insert(slot, read, ticket.limit, stops)
    self._hand_on(entry, [token], reason)

  def _read(self, entry: _Entry) -> tuple[programs_lib.Read, int]:
    """A prompt that is read, and its tokens that another job had read."""
    sample, decoding = entry.job.sample, entry.job.decoding
    size = prefixes.length(sample)
    if entry.key is not None and (piece := self._prefixes.get(entry.key)):
      return self._programs.extend(sample, size, piece, decoding), size
    read = self._programs.read(sample, decoding)
    if entry.key is not None:
      # Causal attention: these keys and values do not depend on the question.
      self._prefixes.put(entry.key, self._programs.beginning(read, size))
    return read, 0

  def _burst(self) -> None:
    """Decodes, and hands on what was made."""
    with self._changed:
      moves = self._scheduler.compact(self._programs.row_counts)
    for source, target in moves:
      self._programs.relocate(source, target)
    with self._changed:
      steps = self._scheduler.steps(self._step_seconds)
      rows, leave = self._scheduler.rows, self._scheduler.waiting > 0
      running = dict(self._scheduler.running)
    began = time.perf_counter()
    tokens = self._programs.decode(rows, steps, leave)
    seconds = time.perf_counter() - began
    made = int(np.sum(np.any(tokens >= 0, axis=1)))
    self._count_burst(made, len(running), int(np.sum(tokens >= 0)), seconds)
    for slot, ticket in running.items():
      entry = self._entries[ticket]
      column = [int(token) for token in tokens[:, slot] if token >= 0]
      ticket.made += len(column)
      stops = not entry.job.decoding.ignore_eos
      reason = self._reason(column[-1], ticket, stops) if column else None
      if reason:
        self._free(slot)
      self._hand_on(entry, column, reason)

  def _reason(
    self, token: int, ticket: scheduler.Ticket, stops: bool
  ) -> Reason | None:
    """Why an answer ends with its last token; None: it goes on."""
    if stops and token in self._programs.stop_tokens:
      return Reason.STOP
    return Reason.LENGTH if ticket.made >= ticket.limit else None

  def _hand_on(
    self, entry: _Entry, tokens: list[int], reason: Reason | None
  ) -> None:
    if reason is Reason.STOP:
      tokens = tokens[:-1]
    if tokens:
      self._tell(entry, interface.Tokens(tuple(tokens)))
    if reason:
      self._finish(entry, reason)

  def _tell(self, entry: _Entry, event: interface.Event) -> None:
    try:
      entry.job.on_event(event)
    except Exception:
      # Whoever cannot listen loses an answer; the others must not.
      logging.exception("a job's on_event has raised; the job is cancelled")
      entry.ticket.cancelled = True

  def _free(self, slot: int) -> scheduler.Ticket:
    with self._changed:
      return self._scheduler.free(slot)

  def _finish(
    self, entry: _Entry, reason: Reason, error: str | None = None
  ) -> None:
    with self._changed:
      self._entries.pop(entry.ticket, None)
      seconds = self._clock() - entry.submitted
      self._service_seconds = _mean(self._service_seconds, seconds)
    if entry.open:
      entry.open = False
      self._tell(entry, interface.Finished(reason, error))

  def _count_prompt(self, size, cached, read, seconds) -> None:
    # Of a shared beginning only what is behind it is computed.
    padded = read.pieces[-1].visible.shape[1]
    with self._changed:
      self._stats = dataclasses.replace(
        self._stats,
        prompt_tokens=self._stats.prompt_tokens + size,
        padded_tokens=self._stats.padded_tokens + padded,
        cached_tokens=self._stats.cached_tokens + cached,
        new_tokens=self._stats.new_tokens + 1,
      )
    self._observer.prefilled(f"{padded} tokens", seconds)

  def _count_burst(
    self, steps: int, rows: int, tokens: int, seconds: float
  ) -> None:
    if steps:
      self._step_seconds = _mean(self._step_seconds, seconds / steps)
    with self._changed:
      self._stats = dataclasses.replace(
        self._stats,
        new_tokens=self._stats.new_tokens + tokens,
        slot_seconds=self._stats.slot_seconds + seconds * rows,
        decode_seconds=self._stats.decode_seconds + seconds,
      )
    self._observer.decoded(steps, rows, seconds)


def _mean(old: float, new: float) -> float:
  """A running mean; 0: there was none before."""
  return new if not old else (1 - _NEW) * old + _NEW * new


def of_folder(
  model: folder.Model,
  settings: configs.Slots,
  usual: Sequence[samples.Lengths],
  layout: generation_sharding.Layout | None = None,
) -> Engine:
  """The engine of a model folder.

  Args:
    model: of the folder.
    settings: rows and room.
    usual: prompts that come often.
    layout: the devices; None: the default one.
  """
  stop = (model.tokenizer.end,)
  programs = programs_lib.Programs(
    model.config, model.params, stop, settings, layout, usual
  )
  return Engine(programs)

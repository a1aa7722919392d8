"""What the HTTP side and the engine know of each other.

A `Job` is one prompt to answer. `Engine.submit` queues it and returns at once;
the engine's thread then calls `Job.on_event` with one `Started`, any number of
`Tokens` and exactly one `Finished`, which is the last event. A job that is
never started gets only `Finished`. All times are of `time.monotonic`.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import Protocol

from crab_jax.data import samples


class Reason(enum.Enum):
  """Why a job has ended."""

  STOP = "stop"  # the model ended its answer
  LENGTH = "length"  # the job's limit of new tokens, or the model's context
  CANCELLED = "cancelled"
  DEADLINE = "deadline"
  ERROR = "error"  # the engine has failed, or was stopped


@dataclasses.dataclass(frozen=True)
class Decoding:
  """How one answer is decoded. The defaults are greedy.

  Attributes:
    max_new_tokens: >= 1; more than `Limits.new_tokens` count as that many.
    temperature: 0: greedy.
    top_k: draw among the k most probable; 0: among all.
    top_p: and among the fewest whose sum reaches p; in (0, 1].
    seed: of the draws, 0 <= seed < 2^32. An answer depends on it alone, and
      neither on other jobs nor on when the job arrives.
    repetition_penalty: > 1: tokens already in the row lose.
    ignore_eos: goes on to the limit, for measurements.
  """

  max_new_tokens: int = 128
  temperature: float = 0.0
  top_k: int = 0
  top_p: float = 1.0
  seed: int = 0
  repetition_penalty: float = 1.0
  ignore_eos: bool = False


@dataclasses.dataclass(frozen=True)
class Started:
  """A job has got a slot.

  Attributes:
    prompt_tokens: of its prompt.
    cached_tokens: of them, those whose keys and values another job had made.
  """

  prompt_tokens: int
  cached_tokens: int


@dataclasses.dataclass(frozen=True)
class Tokens:
  """New tokens, one or several; a stop token is not among them."""

  ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Finished:
  """The last event.

  Attributes:
    reason: why.
    error: for people, if the reason is `Reason.ERROR`.
  """

  reason: Reason
  error: str | None = None


Event = Started | Tokens | Finished


@dataclasses.dataclass(frozen=True)
class Job:
  """One prompt to answer.

  Attributes:
    sample: of `samples.SampleMaker.prompt`.
    on_event: called from the engine's thread; must not block or raise.
    decoding: how.
    owner: whose it is (the hash of a key): owners take turns.
    group: jobs of one owner and group count as one when turns are taken, and
      share the keys and values of their media; None: the job stands alone.
    deadline: when the job ends, ready or not; None: never.
  """

  sample: samples.Sample
  on_event: Callable[[Event], None]
  decoding: Decoding = Decoding()
  owner: str = ""
  group: str | None = None
  deadline: float | None = None


class Handle(Protocol):
  """A job that was submitted."""

  def cancel(self) -> None:
    """Ends the job soon, with `Reason.CANCELLED`; nothing if it has ended."""

  def waiting_ahead(self) -> int:
    """Jobs that get a slot before this one; 0: it is next, or has one."""


class TooLongError(Exception):
  """A prompt has no room; `submit` raises it, with a sentence for people."""


class QueueFullError(Exception):
  """`Limits.queue` jobs wait; `submit` raises it.

  Attributes:
    retry_seconds: after which it is worth to ask again, 1 to 60.
  """

  def __init__(self, retry_seconds: float):
    super().__init__(f"the queue is full; try again in {retry_seconds:.0f} s")
    self.retry_seconds = retry_seconds


class StoppingError(Exception):
  """The engine takes no more jobs; `submit` raises it."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What an engine has room for.

  Attributes:
    slots: answers that are made at the same time.
    prompt: the longest prompt, in tokens, frame pairs and chunks.
    new_tokens: of an answer at most.
    queue: jobs that wait at most.
  """

  slots: int
  prompt: samples.Lengths
  new_tokens: int
  queue: int


@dataclasses.dataclass(frozen=True)
class Stats:
  """What an engine does now and has done; reading it calls no device.

  Attributes:
    slots: all of them.
    slots_used: of them, those with an answer in the making.
    waiting: jobs without a slot.
    compilations: programs that were compiled after the warm-up; 0 unless
      something is wrong.
    prompt_tokens: of all prompts so far.
    cached_tokens: of the prompts, those that were not computed anew.
    padded_tokens: the others, with the padding that was computed.
    new_tokens: made so far.
    slot_seconds: sum over decoding of seconds times slots used.
    decode_seconds: seconds of decoding.
  """

  slots: int = 0
  slots_used: int = 0
  waiting: int = 0
  compilations: int = 0
  prompt_tokens: int = 0
  padded_tokens: int = 0
  cached_tokens: int = 0
  new_tokens: int = 0
  slot_seconds: float = 0.0
  decode_seconds: float = 0.0


class Observer:
  """Is told how long things take; derive from it. Called by the engine."""

  def prefilled(self, shape: str, seconds: float) -> None:
    """A prompt was read; the shape is "512 tokens, 5 pairs, 5 chunks"."""

  def decoded(self, steps: int, rows: int, seconds: float) -> None:
    """So many steps were made, with so many rows in use."""


class Engine(Protocol):
  """Answers jobs, several at a time, in a thread of its own."""

  @property
  def limits(self) -> Limits:
    """What there is room for; does not change."""

  @property
  def ready(self) -> bool:
    """Whether all programs are compiled, and the thread runs."""

  @property
  def failure(self) -> BaseException | None:
    """What has ended the thread; None: it lives, or was stopped."""

  def observe(self, observer: Observer) -> None:
    """Tells an observer, from now on alone, how long things take."""

  def start(self) -> None:
    """Starts the thread, which compiles first. Jobs may be submitted."""

  def submit(self, job: Job) -> Handle:
    """Queues a job; thread-safe, never blocks for long.

    Raises:
      TooLongError: the prompt has no room.
      QueueFullError: too many jobs wait.
      StoppingError: `stop` was called, or the thread has failed.
    """

  def stats(self) -> Stats:
    """Now; thread-safe."""

  def stop(self, seconds: float) -> None:
    """Takes no more jobs; waits for those it has, then ends the rest.

    Args:
      seconds: that jobs may go on for; then they end with `Reason.ERROR`.
    """

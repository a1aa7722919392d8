"""A model without a network, and an engine that says what a test tells it."""

import threading
import time

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import folder
from crab_jax.serving import asked
from crab_jax.serving import interface
from tests.data import small_records

TEXTS = {
  "ave": "A bell rings. <event>Church bell, (0 8)</event>",
  "ks": "I see hands, I hear strings. <answer>playing guitar</answer>",
  "arig": "It is the bell: [10,20,100,200], [30,40].",
  "avqa": "It is counted. <answer>two</answer>",
  asked.FREE: "A bell, größer als 東京 🎷, rings.",
}
OTHER = "Something. <answer>yes</answer>"
WORDS = [*TEXTS.values(), OTHER]


def model() -> folder.Model:
  """A model whose parameters nobody reads."""
  texts = [
    small_records.record("ave", row, target=text)
    for row, text in enumerate(WORDS)
  ]
  return folder.Model(
    small_records.MODEL,
    {},
    small_records.small_tokenizer(texts),
    None,
    tasks.Tasks(),
  )


def maker(found: folder.Model) -> samples.SampleMaker:
  """What makes its prompts."""
  table = asked.with_free_question(found.table)
  return samples.sample_maker(
    found.tokenizer, configs.Data(), found.config, table
  )


class Handle:
  """A job of the double."""

  def __init__(self):
    self.cancelled = threading.Event()

  def cancel(self) -> None:
    self.cancelled.set()

  def waiting_ahead(self) -> int:
    return 3


class Engine(interface.Engine):
  """Answers a job by the text of its task, a token at a time.

  Attributes:
    pace: seconds between two tokens.
    jobs: all that were submitted.
    ended: the reason of each, as it ends.
    before_start: seconds before a job has a slot.
  """

  def __init__(self, found: folder.Model, pace: float = 0.0, tokens: int = 64):
    self._tokenizer = found.tokenizer
    self._table = asked.with_free_question(found.table)
    self.pace, self.before_start = pace, 0.0
    self.jobs: list[interface.Job] = []
    self.ended: list[interface.Reason] = []
    self.is_ready, self.error, self.stopped = True, None, threading.Event()
    self._tokens = tokens

  limits = property(
    lambda self: interface.Limits(
      2, samples.Lengths(1200, 20, 40), self._tokens, 8
    )
  )
  ready = property(lambda self: self.is_ready)
  failure = property(lambda self: self.error)

  def observe(self, observer) -> None:
    pass

  def start(self) -> None:
    pass

  def stats(self) -> interface.Stats:
    return interface.Stats(slots=2, new_tokens=1, decode_seconds=1.0)

  def stop(self, seconds: float) -> None:
    self.stopped.set()

  def submit(self, job: interface.Job) -> Handle:
    handle = Handle()
    self.jobs.append(job)
    threading.Thread(target=self._answer, args=(job, handle)).start()
    return handle

  def text(self, job: interface.Job) -> str:
    """What it answers."""
    return TEXTS.get(list(self._table)[job.sample["task"]], OTHER)

  def _answer(self, job: interface.Job, handle: Handle) -> None:
    time.sleep(self.before_start)
    ids = self._tokenizer.encode(self.text(job))[: job.decoding.max_new_tokens]
    job.on_event(interface.Started(len(job.sample["tokens"]), 0))
    reason = interface.Reason.STOP
    if len(ids) == job.decoding.max_new_tokens:
      reason = interface.Reason.LENGTH
    for token in ids:
      if handle.cancelled.wait(self.pace):
        reason = interface.Reason.CANCELLED
        break
      if self.stopped.is_set():
        reason = interface.Reason.ERROR
        break
      job.on_event(interface.Tokens((token,)))
    self.ended.append(reason)
    job.on_event(interface.Finished(reason))

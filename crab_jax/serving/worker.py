"""A process that opens media of strangers, and may die of it.

It has a limit of memory, of processor time a request, and of time on the wall.
One that is over a limit, or crashes in native code, is replaced at the next
request; the one that killed it gets an error.
"""

import multiprocessing
import resource
import signal
from collections.abc import Callable
from typing import Any

from absl import logging

from crab_jax import configs
from crab_jax.serving import failures

_START_SECONDS = 120.0  # importing the libraries on a busy machine


class Died(Exception):
  """A worker is gone, or has not answered in its time."""


class Worker:
  """One process, used by one thread at a time.

  Args:
    make: called in the process, gives what answers requests.
    arguments: of `make`.
    limits: of memory and time.
  """

  def __init__(
    self, make: Callable[..., Any], arguments: tuple, limits: configs.Serving
  ):
    self._make, self._arguments, self._limits = make, arguments, limits
    self._process: Any = None
    self._pipe: Any = None
    self._is_killed = False

  @property
  def process_id(self) -> int | None:
    """Of the process; None: there is none now."""
    return self._process.pid if self._process else None

  def start(self) -> None:
    """Starts the process if there is none, and waits until it is ready.

    Raises:
      Died: it does not start.
    """
    if self._is_killed:
      raise Died("the server stops")
    if self._process is not None and self._process.is_alive():
      return
    # Not "fork": it would copy the locks of jax's threads, held or not.
    context = multiprocessing.get_context("spawn")
    self._pipe, theirs = context.Pipe()
    process = context.Process(
      target=_serve,
      args=(theirs, self._make, self._arguments, self._limits),
      daemon=True,
    )
    process.start()
    self._process = process
    if self._is_killed:  # meanwhile: `kill` had no process to see
      process.kill()
    theirs.close()  # or a death would not be seen
    self._receive(_START_SECONDS)

  def ask(self, request: Any) -> Any:
    """What the process answers.

    Raises:
      Failure: its answer is one.
      Died: it has been killed, or was too slow and is killed now.
    """
    self.start()
    try:
      self._pipe.send(request)
    except OSError as error:
      self.stop()
      raise Died("it died") from error
    value = self._receive(self._limits.media_wall_seconds)
    if isinstance(value, failures.Failure):
      raise value
    return value

  def _receive(self, seconds: float) -> Any:
    try:
      if self._pipe.poll(seconds):
        return self._pipe.recv()
      why = f"it took over {seconds:g} s"
    except (EOFError, OSError):
      why = "the process that read it died"
    self.stop()
    raise Died(why)

  def kill(self) -> None:
    """Kills the process for good; of all methods any thread may call this.

    The thread that waits for an answer sees the end of the pipe, which another
    one must not close under it.
    """
    self._is_killed = True
    if (process := self._process) is not None:
      process.kill()

  def stop(self) -> None:
    """Kills the process."""
    if self._process is None:
      return
    self._process.kill()
    self._process.join()
    self._pipe.close()
    self._process = None


def _serve(pipe, make, arguments, limits: configs.Serving) -> None:
  """What a worker process runs."""
  # The parent says when to stop; it closes the pipe, or dies.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  answer = make(*arguments)
  _limit_memory(limits.media_memory)
  pipe.send(None)
  while True:
    try:
      request = pipe.recv()
    except (EOFError, OSError):
      return
    _limit_processor(limits.media_processor_seconds)
    pipe.send(_answered(answer, request))


def _answered(answer: Callable[[Any], Any], request: Any) -> Any:
  try:
    return answer(request)
  except failures.Failure as failure:
    return failure
  except MemoryError:
    return failures.Failure(
      400, "bad_media", "opening the media takes too much memory", "messages"
    )
  except FileNotFoundError:  # the client has left, and its files with it
    return failures.Failure(400, "bad_media", "the media are gone", "messages")
  except Exception:
    logging.exception("a request could not be opened")
    return failures.internal()


def _limit_memory(added: int) -> None:
  """Allows so many bytes more than the process has now."""
  with open("/proc/self/statm", encoding="ascii") as file:
    pages = int(file.read().split()[0])
  limit = pages * resource.getpagesize() + added
  resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_processor(seconds: int) -> None:
  """Allows so many seconds from now on; then the system kills the process."""
  used = resource.getrusage(resource.RUSAGE_SELF)
  total = int(used.ru_utime + used.ru_stime) + 1 + seconds
  _, hard = resource.getrlimit(resource.RLIMIT_CPU)
  resource.setrlimit(resource.RLIMIT_CPU, (total, hard))

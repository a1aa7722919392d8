"""Preemption: SIGTERM, which comes before a machine is taken away.

A process that has done no step since its newest checkpoint has nothing to
save: it exits at once, wherever it is (preparing records, compiling, decoding
answers), as everything it writes survives a kill. Once a step is done the loop
*holds* the exit back until it has saved.

Python runs a signal's handler only between two bytecodes, and a compilation is
one call that takes minutes. So a thread waits for it: the interpreter writes the
number of a signal into a pipe at once, whatever the main thread does.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

# Seconds in which a loop that holds the exit must have begun to save. Clouds give a
# machine 30 s; a save that has begun is waited for.
PATIENCE = 25.0

_STOPPED = "stopped by SIGTERM; the same command goes on from what is saved"


def _exit_now(text: str) -> None:
  """Ends this process and its workers, with exit code 0."""
  # `os._exit` flushes nothing and does not run what ends the workers.
  print(text, flush=True)
  sys.stderr.flush()
  for child in multiprocessing.active_children():
    child.kill()
  # Not `sys.exit`: the main thread may be in the middle of a compilation, which
  # cannot be interrupted.
  os._exit(0)


class Handler:
  """Handles SIGTERM; see the module.

  Use it as a context manager, in the main thread. SIGTERM ends the process,
  except between `hold` and `release`. One that was never entered handles
  nothing.
  """

  def __init__(
    self,
    exit_now: Callable[[str], None] = _exit_now,
    patience: float = PATIENCE,
  ):
    """Handles nothing yet.

    Args:
      exit_now: ends the process; is given what to print.
      patience: seconds from SIGTERM in which a loop that holds the exit must
        begin to save.
    """
    self._exit = exit_now
    self._patience = patience
    self._requested = threading.Event()
    self._saving = threading.Event()
    self._held = False
    self._lock = threading.Lock()

  @property
  def requested(self) -> bool:
    """True once SIGTERM came."""
    return self._requested.is_set()

  def __enter__(self) -> "Handler":
    self._reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)  # or `set_wakeup_fd` refuses it
    # The handler must exist for the pipe to be written; the thread does all.
    self._handler = signal.signal(signal.SIGTERM, lambda *_: None)
    self._pipe = signal.set_wakeup_fd(
      self._writer.fileno(), warn_on_full_buffer=False
    )
    os.register_at_fork(after_in_child=self._forget)
    self._thread = threading.Thread(target=self._wait, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    signal.set_wakeup_fd(self._pipe)
    # None: a handler that is not Python's was there before.
    signal.signal(signal.SIGTERM, self._handler or signal.SIG_DFL)
    self._saving.set()  # wakes a thread that is patient
    self._writer.close()  # wakes one that waits for a signal
    self._thread.join()
    self._reader.close()

  def _forget(self) -> None:
    """A forked worker shares the pipe; its own SIGTERM is not ours."""
    # The hook outlives the handler: it may have been closed before the fork.
    if self._writer.fileno() == -1:
      return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

  def _wait(self) -> None:
    # A byte a signal, whichever; none: `__exit__` has closed the writer.
    while numbers := self._reader.recv(64):
      if signal.SIGTERM in numbers:
        break
    else:
      return
    self._requested.set()
    # The loop must not begin to hold between the question and the exit.
    with self._lock:
      if not self._held:
        self._exit(_STOPPED)
    if not self._saving.wait(self._patience):
      self._exit(
        f"stopped by SIGTERM; no step ended within {self._patience:g} s to save"
        " after: the same command goes on from the newest checkpoint"
      )

  def hold(self) -> None:
    """From now on SIGTERM only sets `requested`: there is something to save."""
    with self._lock:
      self._held = True
      if not self.requested:
        self._saving.clear()  # of an earlier save

  def saving(self) -> None:
    """The loop begins to save; it is waited for, however long it takes."""
    self._saving.set()

  def release(self) -> None:
    """All is saved: SIGTERM ends the process, also one that came before."""
    with self._lock:
      self._held = False
    if self.requested:
      self._exit(_STOPPED)

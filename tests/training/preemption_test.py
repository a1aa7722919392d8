"""SIGTERM: an exit at once where nothing is new, held back for a save."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

from crab_jax.training import preemption


class _Left:
  """Stands in for the end of the process."""

  def __init__(self):
    self.texts = []
    self.event = threading.Event()

  def __call__(self, text):
    self.texts.append(text)
    self.event.set()


def _terminate():
  os.kill(os.getpid(), signal.SIGTERM)


def test_with_nothing_to_save_it_leaves_at_once():
  left = _Left()
  with preemption.Handler(left):
    _terminate()
    assert left.event.wait(10)
  assert "SIGTERM" in left.texts[0]


def test_while_held_it_only_says_so():
  left = _Left()
  with preemption.Handler(left) as handler:
    handler.hold()
    assert not handler.requested
    _terminate()
    _wait_until(lambda: handler.requested)
    assert not left.texts
    handler.saving()
    handler.release()
  assert len(left.texts) == 1


def test_a_step_that_does_not_end_is_not_waited_for():
  left = _Left()
  with preemption.Handler(left, patience=0.2) as handler:
    handler.hold()
    _terminate()
    assert left.event.wait(10)
  assert "newest checkpoint" in left.texts[0]


def test_a_save_that_began_is_waited_for():
  left = _Left()
  with preemption.Handler(left, patience=0.2) as handler:
    handler.hold()
    handler.saving()
    _terminate()
    time.sleep(0.6)
    assert not left.texts


def test_it_gives_the_signal_back():
  before = signal.getsignal(signal.SIGTERM)
  with preemption.Handler(_Left()):
    assert signal.getsignal(signal.SIGTERM) != before
  assert signal.getsignal(signal.SIGTERM) == before
  assert signal.set_wakeup_fd(-1) == -1


def test_the_end_of_a_forked_worker_is_none_of_ours():
  left = _Left()
  with preemption.Handler(left):
    child = os.fork()
    if not child:
      signal.pause()
      os._exit(0)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    time.sleep(0.3)
  assert not left.texts


def test_a_main_thread_in_native_code_is_left_too():
  """A compilation is one call in which Python runs no handler."""
  script = """
    import ctypes
    from crab_jax.training import preemption
    with preemption.Handler():
      print("ready", flush=True)
      ctypes.CDLL(None).usleep(60_000_000)  # lets go of the interpreter lock
      while True: ctypes.CDLL(None).usleep(60_000_000)
  """
  process = subprocess.Popen(
    [sys.executable, "-c", textwrap.dedent(script)],
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "ready\n"
  process.send_signal(signal.SIGTERM)
  output, _ = process.communicate(timeout=20)
  assert process.returncode == 0
  assert "the same command goes on" in output


def _wait_until(condition):
  until = time.monotonic() + 10
  while not condition():
    assert time.monotonic() < until
    time.sleep(0.01)

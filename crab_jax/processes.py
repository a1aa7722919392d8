"""Who holds a claim, and whether that process is certainly gone.

A process can be asked after only from its own machine: the same host name, the
same boot and the same space of process ids (two containers may share a name).
There it is gone if its id is free, is a process that has ended and nobody has
collected, or belongs to a process that started at another time. Of a process
elsewhere nothing is known. Where there is no /proc, ids alone are compared.
"""

import dataclasses
import os
import pathlib
import socket

_PROC = pathlib.Path("/proc")
_ENDED = {"Z", "X"}  # a zombie, dead


@dataclasses.dataclass(frozen=True)
class Process:
  """A process, distinct from all others.

  Attributes:
    machine: host name, boot and space of process ids.
    pid: its number there.
    started: when it started, in clock ticks since boot; None: not known.
  """

  machine: str
  pid: int
  started: int | None

  @property
  def is_gone(self) -> bool:
    """Whether it has certainly ended; False where that cannot be known."""
    if self.machine != _machine():
      return False
    try:
      os.kill(self.pid, 0)  # sends nothing, asks only
    except ProcessLookupError:
      return True
    except PermissionError:
      pass  # there is one, of another user
    state, started = _stat(self.pid)
    if state is None:
      return False
    # Its id may belong to a new process by now.
    return state in _ENDED or started != self.started


def me() -> Process:
  """This process."""
  return Process(_machine(), os.getpid(), _stat(os.getpid())[1])


def _machine() -> str:
  return "/".join([socket.gethostname(), *_kernel()])


def _kernel() -> list[str]:
  """The boot and the space of process ids; [] where the kernel does not say."""
  try:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return [boot, os.readlink(_PROC / "self/ns/pid")]
  except OSError:
    return []


def _stat(pid: int) -> tuple[str | None, int | None]:
  """State and start of a process, as proc(5) has them; None: not known."""
  try:
    text = (_PROC / str(pid) / "stat").read_text()
  except OSError:
    return None, None
  fields = text.rpartition(")")[2].split()  # after the name, which may be odd
  return fields[0], int(fields[19])

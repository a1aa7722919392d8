"""Transparent huge pages, for commands that train on a CPU.

Step time on a CPU depends on them: a step allocates and frees gigabytes of
temporary memory, and in pages of 4 KiB the kernel spends a third of the step on
it. On two CPU cores huge pages make 1.5 times as many steps. Linux gives them
to a program that asks. glibc asks (from 2.35 on) if a variable was in the
environment when the program started, so a command restarts itself with it.
"""

import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
WANTED = "glibc.malloc.hugetlb=1"
_SINCE = (2, 35)


def _known() -> bool:
  """Whether the C library knows the setting."""
  name, version = platform.libc_ver()
  numbers = version.split(".")[:2]
  if name != "glibc" or not all(number.isdigit() for number in numbers):
    return False
  return tuple(map(int, numbers)) >= _SINCE


def restart() -> None:
  """Starts the program that runs anew, in the same process; only once.

  Nothing happens where the variable is set already, be it to nothing.
  """
  # The restarted program has it too, and does not restart again.
  if VARIABLE in os.environ or not _known():
    return
  os.environ[VARIABLE] = WANTED
  # `orig_argv` has the interpreter's options too (-m, -X), `sys.argv` has not.
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

"""Memory in large pages, for programs that train on a CPU.

A step takes gigabytes of temporary memory and gives them back. In pages of
4 KiB the kernel spends a third of the step on handing them out; on two CPU
cores large ones make a step half as fast again. Linux gives them to a program
that asks, and glibc asks (from 2.35 on) for one that was started with a certain
variable in its environment; so a door starts itself anew.
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
  if VARIABLE in os.environ or not _known():
    return
  os.environ[VARIABLE] = WANTED
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

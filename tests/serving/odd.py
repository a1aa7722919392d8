"""What a worker process of the tests runs; imports little, to start fast."""

import os
import signal
import time

from crab_jax.serving import failures


class Odd:
  """Does what it is told, mostly harm."""

  def __call__(self, request):
    if request == "die":
      os.kill(os.getpid(), signal.SIGKILL)
    if request == "sleep":
      time.sleep(60)
    if request == "spin":
      while True:
        pass
    if request == "fill":
      return bytes(1 << 30)
    if request == "fail":
      failures.invalid("bad_media", "no", "part")
    if request == "raise":
      raise ValueError("a defect")
    return os.getpid()

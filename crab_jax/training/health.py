"""The health of a run: MFU, memory of a chip, and where its time goes.

  mfu            model FLOPs of the steps, by the peak of the devices
  hbm_gib        memory of this host's first device in use, and its peak so far
  goodput        share of the time since the start of the stage in steps
  seconds/KIND   since then in: restore, compile, data, save, evaluation, steps

They depend on the machine and not on the data: so they have a file of their own.
A loop that takes twice its usual time a step, a minute long, says why.
"""

import collections
import dataclasses
import statistics
import threading
import time

import jax

_SLOW = 2.0  # times the usual seconds a step
_LONG = 60.0  # seconds that a loop may be slow before it says so
_COMPILING = "/jax/core/compile/backend_compile_duration"
_REASONS = {
  "data": "it waits for data: more workers, or records nearer by",
  "save": "it waits for checkpoints to be written",
  "compile": "it compiles again: shapes of batches change",
}
_ELSE = "neither data nor checkpoints: another process, host or device is slow"


@dataclasses.dataclass(frozen=True)
class Peak:
  """What the steps of a stage ask for, and what the devices could do.

  Attributes:
    step_flops: model FLOPs of a step on all devices together.
    flops: peak FLOP/s of all devices together; None: no chip of the table.
  """

  step_flops: float
  flops: float | None


class _Compiled:
  """Seconds that this process has compiled."""

  def __init__(self):
    self.seconds = 0.0
    self._lock = threading.Lock()
    jax.monitoring.register_event_duration_secs_listener(self._heard)

  def _heard(self, event: str, duration_secs: float, **_: str | int) -> None:
    if event == _COMPILING:
      with self._lock:
        self.seconds += duration_secs


_compiled: list[_Compiled] = []  # one a process: listeners cannot be removed


def _compile_seconds() -> float:
  if not _compiled:
    _compiled.append(_Compiled())
  return _compiled[0].seconds


class Health:
  """Counts the time of a stage by kind.

  Args:
    peak: of the stage; None: no MFU.
    now: a clock, seconds.
  """

  def __init__(self, peak: Peak | None = None, now=time.perf_counter):
    self._peak, self._now = peak, now
    self._start = self._last = now()
    self._compiled = _compile_seconds()
    self._spent: dict[str, float] = collections.defaultdict(float)
    self._before: dict[str, float] = {}
    self._step = 0
    self._usual: list[float] = []  # seconds a step, of intervals
    self._slow = 0.0  # seconds that it is slow by now

  def spent(self, kind: str, seconds: float) -> None:
    """Adds to the time of a kind, which is none of steps."""
    self._spent[kind] += seconds

  def restored(self, step: int, seconds: float) -> None:
    """The loop begins behind a step; reading the checkpoint took so long."""
    self._step = step
    # The checkpoint was read before this clock began.
    self._start -= seconds
    self.spent("restore", seconds)

  def line(self, step: int) -> tuple[dict[str, float], str | None]:
    """The numbers since the last call, and what to tell people if it is slow.

    Args:
      step: the last that was done.
    """
    now = self._now()
    total = max(now - self._start, 1e-9)
    compiled = _compile_seconds() - self._compiled
    self._spent["compile"] = compiled
    known = sum(self._spent.values())
    steps = max(total - known, 0.0)
    found = {
      "goodput": steps / total,
      **{f"seconds/{name}": x for name, x in sorted(self._spent.items())},
      "seconds/steps": steps,
      **_memory(),
    }
    passed, done = now - self._last, step - self._step
    # Not the pauses that have nothing to do with steps.
    idle = self._since("evaluation") + self._since("restore")
    worked = max(passed - idle, 1e-9)
    if self._peak is not None and self._peak.flops and done > 0:
      asked = done * self._peak.step_flops
      found["mfu"] = asked / (worked * self._peak.flops)
    told = self._slowness(worked, done)
    self._last, self._step = now, step
    self._before = dict(self._spent)
    return found, told

  def _since(self, kind: str) -> float:
    return self._spent.get(kind, 0.0) - self._before.get(kind, 0.0)

  def _slowness(self, worked: float, done: int) -> str | None:
    if done <= 0:
      return None
    pace = worked / done
    usual = statistics.median(self._usual) if self._usual else None
    if usual is None or pace <= _SLOW * usual:
      # The first interval compiles.
      if self._since("compile") < worked / 2:
        self._usual.append(pace)
      self._slow = 0.0
      return None
    before, self._slow = self._slow, self._slow + worked
    if before >= _LONG or self._slow < _LONG:
      return None  # told already, or not long enough
    lost = worked - usual * done
    kind = max(_REASONS, key=self._since)
    why = _REASONS[kind] if self._since(kind) > lost / 2 else _ELSE
    return f"slow: {pace:.2f} s a step, usually {usual:.2f} s; {why}"


def _memory() -> dict[str, float]:
  """GiB of the first device of this host; {} where it does not say."""
  stats = jax.local_devices()[0].memory_stats() or {}
  names = {"hbm_gib": "bytes_in_use", "hbm_peak_gib": "peak_bytes_in_use"}
  return {
    name: stats[key] / 2**30 for name, key in names.items() if key in stats
  }

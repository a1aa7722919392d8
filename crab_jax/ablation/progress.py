"""How far a study is: runs done, running and remaining, and how long they take."""

import dataclasses
import statistics
from collections.abc import Iterable

from crab_jax.ablation import grid
from crab_jax.ablation import manifest as manifest_lib

_STATES = ("done", "running", "remaining")


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a study is.

  Attributes:
    done, running, remaining: names of runs. Running: claimed by a live worker.
    seconds: estimated time of all that is not done, one run at a time; None
      before anything is done.
  """

  done: tuple[str, ...]
  running: tuple[str, ...]
  remaining: tuple[str, ...]
  seconds: float | None

  def duration(self, at_once: int) -> str:
    """In words, how long the rest takes so many processes."""
    return in_words(None if self.seconds is None else self.seconds / at_once)


def of(manifest: manifest_lib.Manifest, steps: dict[str, int]) -> Progress:
  """How far a study is.

  Args:
    manifest: of the study.
    steps: name -> updates of every run.
  """
  results = {name: manifest.result(name) for name in steps}
  done = [name for name, found in results.items() if found is not None]
  running = [n for n in steps if n not in done and manifest.running(n)]
  remaining = [n for n in steps if n not in done and n not in running]
  spent = [
    (found["seconds"], steps[name])
    for name, found in results.items()
    if found is not None
  ]
  seconds = _estimate(spent, (steps[n] for n in (*running, *remaining)))
  return Progress(tuple(done), tuple(running), tuple(remaining), seconds)


def _estimate(
  spent: list[tuple[float, int]], ahead: Iterable[int]
) -> float | None:
  """Seconds of the steps ahead, by the median time of a step.

  Args:
    spent: seconds and steps of every finished run.
    ahead: steps of the others.
  """
  if not spent:
    return None
  # The first run of a method compiles its programs: the median ignores it.
  return statistics.median(s / number for s, number in spent) * sum(ahead)


def in_words(seconds: float | None) -> str:
  """A duration for people."""
  if seconds is None:
    return "unknown until a run is done"
  minutes = round(seconds / 60)
  return (
    f"{minutes // 60} h {minutes % 60} min"
    if minutes >= 60
    else f"{minutes} min"
  )


def table(manifest: manifest_lib.Manifest, steps: dict[str, int]) -> str:
  """What is done, what remains and how long it takes, a line a group."""
  found = of(manifest, steps)
  states = {n: state for state in _STATES for n in getattr(found, state)}
  counts: dict[str, dict[str, int]] = {}
  for name, number in steps.items():
    targets, label, method, seed = name.split(".")[:4]
    kind = label if label == grid.ALL else "parts"
    empty = dict.fromkeys(("runs", "steps", *_STATES), 0)
    row = counts.setdefault(f"{seed} {targets} {method} {kind}", empty)
    row["runs"] += 1
    row["steps"] += number
    row[states[name]] += 1
  head = f"{'runs':<36}{'number':>8}{'steps':>8}{'done':>6}{'now':>5}"
  lines = [f"{head}{'remaining':>11}"]
  lines += [
    f"{group:<36}{row['runs']:>8}{row['steps']:>8}{row['done']:>6}"
    f"{row['running']:>5}{row['remaining']:>11}"
    for group, row in counts.items()
  ]
  lines.append(
    f"{len(found.done)} of {len(steps)} runs done, {sum(steps.values())} steps"
    f" in all; remaining, one run at a time: {found.duration(1)}"
  )
  return "\n".join(lines)

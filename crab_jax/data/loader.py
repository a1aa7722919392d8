"""What a training loop holds: batches, their counters and a state to resume."""

import collections
import json
import weakref
from collections.abc import Mapping
from typing import Any

import grain
import numpy as np

from crab_jax import errors
from crab_jax.array_types import Batch
from crab_jax.data import tasks

_NAMED_FAILURES = 20  # records in the message of an error


class Tally:
  """Counts what was read, and stops a run that loses too much.

  Args:
    sizes: dataset -> records of an epoch.
    max_bad_share: failed records tolerated, of all.
    max_bad_task_share: failed records tolerated, of one dataset.
  """

  def __init__(
    self,
    sizes: Mapping[str, int],
    max_bad_share: float,
    max_bad_task_share: float,
  ):
    self._sizes = dict(sizes)
    self._max_share = max_bad_share
    self._max_task_share = max_bad_task_share
    self._tokens = np.zeros(2, np.int64)  # useful, all
    self._samples = collections.Counter()
    self._short_videos = 0
    self._failed: dict[str, list[str]] = {}  # id -> task, reason, detail

  def add(self, batch: Batch, summary: Mapping[str, Any]) -> None:
    """Counts a batch and what was read for it.

    Raises:
      UserError: more different records failed so far than is tolerated.
    """
    used = batch["segments"] > 0
    self._tokens += [used.sum(), used.size]
    numbers = batch["sample_ids"][..., 0]
    counts = np.bincount(numbers[numbers >= 0], minlength=len(tasks.TASKS))
    for task in tasks.TASKS:
      if counts[task.number]:
        self._samples[task.name] += int(counts[task.number])
    self._short_videos += int(summary["short_videos"])
    for task, name, reason, detail in summary["failures"]:
      self._failed[name] = [task, reason, detail]
    if summary["failures"]:
      self._check()

  def _check(self) -> None:
    bad = collections.Counter(task for task, _, _ in self._failed.values())
    for task, count in bad.items():
      if count > self._max_task_share * self._sizes[task]:
        self._stop(task, count, self._sizes[task], self._max_task_share)
    total = sum(self._sizes.values())
    if bad.total() > self._max_share * total:
      self._stop("all datasets", bad.total(), total, self._max_share)

  def _stop(self, what: str, bad: int, size: int, share: float) -> None:
    details = [
      detail
      for task, _, detail in self._failed.values()
      if what in (task, "all datasets")
    ]
    raise errors.UserError(
      f"{bad} of {size} records of {what} failed, more than the tolerated"
      f" {share:.1%}: {'; '.join(details[:_NAMED_FAILURES])}"
    )

  def counters(self) -> dict[str, Any]:
    """What was read since the beginning, over all starts.

    Returns:
      "useful_tokens" and "tokens" of the batches, "samples" (dataset ->
      number), "short_videos" (samples with a repeated last frame), "skipped"
      (reason -> number of different records), "skipped_ids" (id -> reason).
    """
    reasons = {name: row[1] for name, row in self._failed.items()}
    return {
      "useful_tokens": int(self._tokens[0]),
      "tokens": int(self._tokens[1]),
      "samples": dict(self._samples),
      "short_videos": self._short_videos,
      "skipped": dict(collections.Counter(reasons.values())),
      "skipped_ids": reasons,
    }

  def get_state(self) -> dict[str, Any]:
    return {
      "tokens": self._tokens.tolist(),
      "samples": dict(self._samples),
      "short_videos": self._short_videos,
      "failed": dict(self._failed),
    }

  def set_state(self, state: Mapping[str, Any]) -> None:
    self._tokens = np.array(state["tokens"], np.int64)
    self._samples = collections.Counter(state["samples"])
    self._short_videos = state["short_videos"]
    self._failed = dict(state["failed"])


class Loader:
  """An endless, resumable source of one host's batches.

  Args:
    dataset: gives (batch, summary), see `packed.PackedDataset`.
    tally: counts them.
  """

  def __init__(self, dataset: grain.IterDataset, tally: Tally):
    # In a box, so that closing it leaves no iterator to the interpreter's end,
    # where grain's own clean-up would fail.
    self._box = [dataset.__iter__()]
    self._tally = tally
    self._closing = weakref.finalize(self, _close, self._box)

  def __iter__(self):
    return self

  def __next__(self) -> Batch:
    """The next batch.

    Raises:
      UserError: more records failed than is tolerated.
    """
    batch, summary = next(self._box[0])
    self._tally.add(batch, summary)
    return batch

  def counters(self) -> dict[str, Any]:
    """See `Tally.counters`."""
    return self._tally.counters()

  def get_state(self) -> bytes:
    """Where the loader is, behind the last batch: JSON."""
    state = {
      "iterator": self._box[0].get_state(),
      "tally": self._tally.get_state(),
    }
    return json.dumps(state).encode()

  def set_state(self, state: bytes) -> None:
    """Goes on behind the batch at which `get_state` was called.

    The loader must have the same records, settings, hosts and workers.
    """
    tree = json.loads(state)
    self._box[0].set_state(tree["iterator"])
    self._tally.set_state(tree["tally"])

  def close(self) -> None:
    """Stops reader threads and worker processes; nothing can follow."""
    self._closing()


def _close(box: list[grain.DatasetIterator]) -> None:
  box.pop().close()

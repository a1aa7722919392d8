"""What a training loop holds: batches, their counters and a state to resume."""

import collections
import dataclasses
import json
import weakref
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Batch
from crab_jax.data import stream_positions
from crab_jax.data import tasks

_NAMED_FAILURES = 20  # records in the message of an error


class Tally:
  """Counts what was read, and stops a run that loses too much.

  Args:
    table: the tasks.
    sizes: dataset -> records of an epoch.
    data: its `max_bad_share` and `max_bad_task_share` of these are tolerated.
  """

  def __init__(
    self,
    table: tasks.Tasks,
    sizes: Mapping[str, int],
    data: configs.Data,
  ):
    self._table = table
    self._sizes = dict(sizes)
    self._max_share = data.max_bad_share
    self._max_task_share = data.max_bad_task_share
    self._tokens = np.zeros(2, np.int64)  # useful, all
    self._samples: collections.Counter[str] = collections.Counter()
    self._short_videos = 0
    self._failed: dict[str, list[str]] = {}  # id -> task, reason, detail

  def add(self, batch: Batch, summary: Mapping[str, Any]) -> None:
    """Counts a batch and what was read for it.

    Raises:
      UserError: more different records failed so far than is tolerated.
    """
    used = batch["segments"] > 0
    self._tokens += np.array([used.sum(), used.size])
    numbers = batch["sample_ids"][..., 0]
    counts = np.bincount(numbers[numbers >= 0], minlength=len(self._table))
    for name, count in zip(self._table, counts, strict=True):
      if count:
        self._samples[name] += int(count)
    self._short_videos += int(summary["short_videos"])
    for task, name, reason, detail in summary["failures"]:
      # By name: a record fails again in every epoch, and counts once.
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

  def set_states(self, states: Sequence[Mapping[str, Any]]) -> None:
    """Counts what these counted together; nothing, if there are none."""
    self._tokens = np.zeros(2, np.int64)
    self._samples, self._short_videos = collections.Counter(), 0
    self._failed = {}
    for state in states:
      self._tokens += state["tokens"]
      self._samples.update(state["samples"])
      self._short_videos += state["short_videos"]
      self._failed.update(state["failed"])


class Loader:
  """An endless, resumable source of one host's batches.

  Args:
    make: the batches that begin at the positions of so many streams, which
      take turns; an element is (batch, summary, position), see
      `packed.PackedDataset`.
    tally: counts them.
    host: the number of this host.
    hosts: that share the samples.
    streams: worker processes of each; one if there are none.
  """

  def __init__(
    self,
    make: Callable[[Sequence[stream_positions.Position]], grain.IterDataset],
    tally: Tally,
    host: int = 0,
    hosts: int = 1,
    streams: int = 1,
  ):
    self._make = make
    self._tally = tally
    self._host, self._hosts, self._count = host, hosts, streams
    # In a box, so that closing it leaves no iterator to the interpreter's end,
    # where grain's own clean-up would fail.
    self._box: list[grain.DatasetIterator] = []
    self._closing = weakref.finalize(self, _empty, self._box)
    self._share_out(stream_positions.Position())

  def _share_out(self, everything: stream_positions.Position) -> None:
    # First among hosts, then among workers: the streams of all hosts together
    # read every index once.
    own = everything.part(self._host, self._hosts)
    self._begin([own.part(i, self._count) for i in range(self._count)])

  def _begin(self, streams: list[stream_positions.Position]) -> None:
    """Goes on at these positions, the first one's turn first."""
    _empty(self._box)
    self._streams = streams

  def __iter__(self):
    return self

  def __next__(self) -> Batch:
    """The next batch.

    Raises:
      UserError: more records failed than is tolerated.
    """
    if not self._box:
      self._box.append(self._make(self._streams).__iter__())
    batch, summary, position = next(self._box[0])
    # The stream whose turn it was goes to the end.
    self._streams = [*self._streams[1:], position]
    self._tally.add(batch, summary)
    return batch

  def counters(self) -> dict[str, Any]:
    """See `Tally.counters`."""
    return self._tally.counters()

  def get_state(self) -> bytes:
    """Where this host is, behind the last batch: JSON."""
    state = {
      "streams": [dataclasses.asdict(position) for position in self._streams],
      "tally": self._tally.get_state(),
    }
    return json.dumps(state).encode()

  def set_states(self, states: Sequence[bytes]) -> str | None:
    """Goes on behind the batches at which all hosts called `get_state`.

    With as many hosts and workers as then it goes on to the bit. Others share
    out the samples that no row had taken yet, each of them once; those that
    were read ahead come first. The records and the settings that order them
    must be the same.

    Args:
      states: of the hosts, in their order.

    Returns:
      What to tell the user; None if nothing moved.

    Raises:
      UserError: an earlier version wrote them.
    """
    trees = [json.loads(state) for state in states]
    if not all("streams" in tree for tree in trees):
      raise errors.UserError(
        "the checkpoint is of an earlier version, which ordered the data"
        " otherwise: go on with that version, or start in another --workdir"
      )
    found = [
      [stream_positions.Position.of(x) for x in tree["streams"]]
      for tree in trees
    ]
    # The same streams: each goes on where it was, in the order of before.
    if [len(streams) for streams in found] == [self._count] * self._hosts:
      self._begin(found[self._host])
      self._tally.set_states([trees[self._host]["tally"]])
      return None
    everything = stream_positions.merged(
      [position for host in found for position in host]
    )
    self._share_out(everything)
    # Each tally of before is counted on by one host.
    mine = trees[self._host :: self._hosts]
    self._tally.set_states([tree["tally"] for tree in mine])
    before, now = sum(map(len, found)), self._hosts * self._count
    return (
      f"data: {before} streams of {len(found)} hosts become {now} of"
      f" {self._hosts}; {len(everything.left)} samples that they left go first"
    )

  def close(self) -> None:
    """Stops reader threads and worker processes; nothing can follow."""
    self._closing()


def _empty(box: list[grain.DatasetIterator]) -> None:
  while box:
    box.pop().close()

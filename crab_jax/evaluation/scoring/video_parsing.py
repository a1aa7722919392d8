"""Audio-visual video parsing (LLP): ten F-scores.

A clip is two boolean matrices, what is heard and what is seen: classes x ten
segments; what is both is their product. An F-score of a clip is the mean of
the classes' F over the classes that are present in truth or prediction, 1 if
there are none; the score of a set is the mean over clips. `Type@AV` is the
mean of audio, visual and audio-visual; `Event@AV` pools the counts of audio
and visual before F is computed.

Reference: AVVP (arXiv 2007.10558), utils/eval_metrics.py of its code.
"""

import functools

import numpy as np

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.scoring import segments

STREAMS = ("audio", "visual", "audio_visual")
LEVELS = ("segment", "event")
# In the order of `clip_scores`.
NAMES = tuple(
  f"{level}_{name}"
  for level in LEVELS
  for name in (*STREAMS, "type_av", "event_av")
)
_IOU = 0.5  # of two runs that count as one event

# Class -> its ten segments, a bit each (the lowest is the first second).
Grid = dict[str, int]
Counts = tuple[int, int, int]  # true positives, false positives, misses


def grids(events: tuple[intervals.Event, ...]) -> tuple[Grid, Grid]:
  """What is heard and what is seen; an event of modality "both" is in both."""
  heard: Grid = {}
  seen: Grid = {}
  for event in events:
    cells = segments.span(event)
    # An event that ends before it starts has no segment: its bits are 0.
    bits = (1 << max(cells.stop, cells.start)) - (1 << cells.start)
    name = labels.canonical(event.label)
    for grid, other in ((heard, "visual"), (seen, "audio")):
      if event.modality != other:
        grid[name] = grid.get(name, 0) | bits
  return heard, seen


def segment_counts(truth: int, said: int) -> Counts:
  """True positives, false positives and misses, a segment each."""
  return (
    (truth & said).bit_count(),
    (said & ~truth).bit_count(),
    (truth & ~said).bit_count(),
  )


@functools.cache
def runs(row: int) -> tuple[int, ...]:
  """The contiguous runs of segments, each as bits of its own."""
  found = []
  while row:
    first = row & -row
    run = row & ~(row + first)  # the lowest run: adding carries through it
    found.append(run)
    row &= ~run
  return tuple(found)


def _overlap(first: int, second: int) -> bool:
  shared, union = (first & second).bit_count(), (first | second).bit_count()
  return shared >= _IOU * union


def event_counts(truth: int, said: int) -> Counts:
  """True positives, false positives and misses, a run each.

  A predicted run that overlaps any true run with IoU >= 0.5 is a true
  positive, else a false positive; a true run that no predicted one overlaps
  so is a miss. As in the official code, matching is not one to one.
  """
  true_runs, said_runs = runs(truth), runs(said)
  hits = sum(any(_overlap(s, t) for t in true_runs) for s in said_runs)
  missed = sum(not any(_overlap(s, t) for s in said_runs) for t in true_runs)
  return hits, len(said_runs) - hits, missed


_COUNTS = {"segment": segment_counts, "event": event_counts}


def mean_f(counts: list[Counts]) -> float:
  """Mean F over the classes that are present (any count); 1 if none is."""
  present = [row for row in counts if any(row)]
  if not present:
    return 1.0
  return sum(2 * tp / (2 * tp + fp + fn) for tp, fp, fn in present) / len(
    present
  )


def clip_scores(
  truth: tuple[Grid, Grid], said: tuple[Grid, Grid]
) -> tuple[float, ...]:
  """The ten F-scores of one clip, in the order of `NAMES`.

  A class that is not among the 25 of LLP is a class like any other: it has
  no true segments, so naming it costs.
  """
  names = sorted(set().union(*truth, *said))
  true_rows, said_rows = _streams(truth, names), _streams(said, names)
  scores: list[float] = []
  for level in LEVELS:
    count = _COUNTS[level]
    counts = [
      [count(t, s) for t, s in zip(*pair, strict=True)]
      for pair in zip(true_rows, said_rows, strict=True)
    ]
    each = [mean_f(rows) for rows in counts]
    pooled = [
      (tp + tp_seen, fp + fp_seen, fn + fn_seen)
      for (tp, fp, fn), (tp_seen, fp_seen, fn_seen) in zip(
        counts[0], counts[1], strict=True
      )
    ]
    scores += [*each, float(np.mean(each)), mean_f(pooled)]
  return tuple(scores)


def _streams(pair: tuple[Grid, Grid], names: list[str]) -> list[list[int]]:
  """Heard, seen and both: the segments of every class."""
  heard, seen = ([grid.get(name, 0) for name in names] for grid in pair)
  return [heard, seen, [a & v for a, v in zip(heard, seen, strict=True)]]

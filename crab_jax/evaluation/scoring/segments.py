"""Events on a grid of ten one-second segments: AVE.

Spans are half-open [start, end) in seconds; ends beyond the grid are cut.
Fractions of a second are rounded to the nearest whole one, half up.
"""

import collections
import math

import numpy as np

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

SEGMENTS = 10  # seconds, and segments
BACKGROUND = ""  # the label of a segment without an event


def span(event: intervals.Event) -> slice:
  """The segments of an event, as a slice of the grid."""
  # Not `round`, which takes halves to the even number.
  start, end = (math.floor(t + 0.5) for t in (event.start, event.end))
  return slice(min(start, SEGMENTS), min(end, SEGMENTS))


def without_segment(events: tuple[intervals.Event, ...]) -> int:
  """How many events have no segment: too short, or beyond the grid."""
  cells = map(span, events)
  return sum(cell.stop <= cell.start for cell in cells)


def sequence(events: tuple[intervals.Event, ...]) -> list[str]:
  """The label of each segment; where events overlap, the first one wins."""
  row = [BACKGROUND] * SEGMENTS
  # Written last to first, so that the first one overwrites the others.
  for event in reversed(events):
    cells = span(event)
    row[cells] = [labels.canonical(event.label)] * len(row[cells])
  return row


def segment_accuracy(truth: list[str], predicted: list[str]) -> float:
  """Share of segments whose label, one of the events or background, is right.

  The mean over clips is the accuracy over all segments, as all clips have
  ten. Reference: AVE (arXiv 1803.08842), supervised event localisation.
  """
  right = [a == b for a, b in zip(truth, predicted, strict=True)]
  return sum(right) / len(right)


def constant_sequence(sequences: list[list[str]]) -> list[str]:
  """The best constant guess: the commonest label of each segment.

  Segments count on their own, so no constant answer does better.
  """
  commonest = []
  for column in zip(*sequences, strict=True):
    count = collections.Counter(column)
    commonest.append(min(count, key=lambda word: (-count[word], word)))
  return commonest


def foreground_accuracy(
  truths: list[list[str]], predictions: list[list[str]]
) -> float:
  """Segment accuracy over the segments where the truth has an event."""
  right = [
    a == b
    for truth, predicted in zip(truths, predictions, strict=True)
    for a, b in zip(truth, predicted, strict=True)
    if a != BACKGROUND
  ]
  return float(np.mean(right)) if right else 0.0

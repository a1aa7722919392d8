"""Scores of the sets whose answer is events: AVE, LLP, UnAV-100.

A text without any event block cannot be read and is wrong everywhere;
`<event>none</event>` says that there is only background. Chance is the best
of the constant event lists in `_constant_lists`; for AVE the exact best
constant, the commonest label of each segment.
"""

import collections

import numpy as np

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import detection
from crab_jax.evaluation.scoring import results
from crab_jax.evaluation.scoring import segments
from crab_jax.evaluation.scoring import video_parsing

# Of the two levels of LLP, in the order of `video_parsing.NAMES`.
_COLUMNS = ("A", "V", "AV", "Type@AV", "Event@AV")
_LISTS = 20  # commonest reference lists tried as a blind guess


def ave(samples: list[accounting.Sample]) -> results.Result:
  """AVE: accuracy over all one-second segments, 28 events or background.

  Official convention: a text without events is background everywhere.
  """
  truths = [segments.sequence(s.reference.events) for s in samples]
  said = [segments.sequence(s.answer.events) for s in samples]
  constant = segments.constant_sequence(truths)
  kept = [i for i, sample in enumerate(samples) if not sample.failed]

  def mean(predictions):
    pairs = zip(truths, predictions, strict=True)
    return [segments.segment_accuracy(t, p) for t, p in pairs]

  lenient = mean(said)
  strict = [
    0.0 if sample.failed else value
    for sample, value in zip(samples, lenient, strict=True)
  ]
  return results.Result(
    value=float(np.mean(strict)),
    chance=float(np.mean(mean([constant] * len(truths)))),
    guess=_sequence_words(constant, samples),
    parts=[{"score": value} for value in strict],
    details={
      "foreground_accuracy": segments.foreground_accuracy(truths, said),
      "whole_clip": float(np.mean(np.array(strict) == 1)),
      "events_without_segment": _without_segment(samples),
    },
    official={
      "value": float(np.mean(lenient)),
      "value_without_unread": float(np.mean([lenient[i] for i in kept] or 0)),
      "n": len(samples),
      "dropped": 0,
    },
  )


def _sequence_words(sequence: list[str], samples) -> str:
  """ "always background 0-3, Dog 3-10" of ten canonical labels."""
  shown = {segments.BACKGROUND: "background"}
  for event in (e for s in samples for e in s.reference.events):
    shown.setdefault(labels.canonical(event.label), event.label)
  words, start = [], 0
  for i in range(1, len(sequence) + 1):
    if i == len(sequence) or sequence[i] != sequence[start]:
      words.append(f"{shown[sequence[start]]} {start}-{i}")
      start = i
  return "always " + ", ".join(words)


def _constant_lists(samples) -> dict[str, tuple[intervals.Event, ...]]:
  """Event lists that a blind guess may always say, by a name in words.

  Nothing; the commonest whole lists of the references; the commonest label
  over the whole clip; every label with its commonest span.
  """
  whole = collections.Counter(s.reference.events for s in samples)
  each = [event for s in samples for event in s.reference.events]
  lists: dict[str, tuple[intervals.Event, ...]] = {"always no event": ()}
  for events, _ in whole.most_common(_LISTS):
    lists[f"always {_in_words(events)}"] = events
  if each:
    end = max(event.end for event in each)
    (label, modality), _ = collections.Counter(
      (event.label, event.modality) for event in each
    ).most_common(1)[0]
    for which in {"both", modality}:
      events = (intervals.Event(label, 0.0, end, which),)
      lists[f"always {_in_words(events)}"] = events
    lists["every label with its commonest span"] = _every_label(each)
  return lists


def _in_words(events: tuple[intervals.Event, ...]) -> str:
  """ "dog 0-4, car 3-10 (audio)"."""
  words = [
    f"{event.label} {event.start:g}-{event.end:g}"
    + ("" if event.modality == "both" else f" ({event.modality})")
    for event in events
  ]
  return ", ".join(words) or "no event"


def _every_label(each: list[intervals.Event]) -> tuple[intervals.Event, ...]:
  """For every label and modality the commonest span it has."""
  spans: dict[tuple[str, str], collections.Counter[tuple[float, float]]]
  spans = collections.defaultdict(collections.Counter)
  for event in each:
    spans[event.label, event.modality][event.start, event.end] += 1
  found = []
  for (label, modality), count in spans.items():
    (start, end), _ = count.most_common(1)[0]
    found.append(intervals.Event(label, start, end, modality))
  return tuple(found)


def avvp(samples: list[accounting.Sample]) -> results.Result:
  """LLP: ten F-scores; the primary one is the segment-level Type@AV."""
  truths = [video_parsing.grids(s.reference.events) for s in samples]
  said = [video_parsing.grids(s.answer.events) for s in samples]
  scores = np.array(
    [video_parsing.clip_scores(t, p) for t, p in zip(truths, said, strict=True)]
  )
  failed = np.array([sample.failed for sample in samples])
  strict = np.where(failed[:, None], 0.0, scores)
  primary = video_parsing.NAMES.index("segment_type_av")
  guess, chance = _best_list(samples, truths)
  names = video_parsing.NAMES
  readable = scores[~failed] if (~failed).any() else np.zeros_like(scores)
  return results.Result(
    value=float(strict[:, primary].mean()),
    chance=chance,
    guess=guess,
    parts=[
      {
        "score": float(row[primary]),
        **dict(zip(names, row.tolist(), strict=True)),
      }
      for row in strict
    ],
    details={
      "F": _ten(strict.mean(0)),
      "events_without_segment": _without_segment(samples),
    },
    official={
      "F": _ten(readable.mean(0)),
      "value": float(readable[:, primary].mean()),
      "n": int((~failed).sum()),
      "dropped": int(failed.sum()),
    },
  )


def _without_segment(samples: list[accounting.Sample]) -> int:
  """Answered events that the grid of ten seconds does not show."""
  return sum(segments.without_segment(s.answer.events) for s in samples)


def _ten(means: np.ndarray) -> dict[str, dict[str, float]]:
  """The ten numbers as a table: level -> name in the literature -> F."""
  columns = len(_COLUMNS)
  return {
    level: dict(zip(_COLUMNS, means[i * columns :].tolist(), strict=False))
    for i, level in enumerate(video_parsing.LEVELS)
  }


def _best_list(samples, truths, limit: int = 500) -> tuple[str, float]:
  """The best constant list for LLP, on at most `limit` clips evenly spaced."""
  primary = video_parsing.NAMES.index("segment_type_av")
  chosen = truths[:: max(len(truths) // limit, 1)]
  best = {}
  for name, events in _constant_lists(samples).items():
    guess = video_parsing.grids(events)
    scores = [video_parsing.clip_scores(t, guess)[primary] for t in chosen]
    best[name] = float(np.mean(scores))
  name = max(best, key=lambda name: best[name])
  return name, best[name]


def unav(samples: list[accounting.Sample]) -> results.Result:
  """UnAV-100: mAP, the mean over tIoU 0.1 to 0.9; and the query protocol.

  A language model gives no scores: here they fall in the order in which the
  events are said. Official convention: all are 1.0, in the order in which the
  official code sorts them, and no answer to a query counts as one segment. A
  clip that was not read keeps its true segments there too.
  """
  truths = [detection.clip(s.reference.events) for s in samples]
  said = [detection.clip(s.answer.events) for s in samples]
  by_threshold = detection.mean_average_precision(truths, said)
  tied = detection.mean_average_precision(truths, said, tied=True)
  guesses = {
    name: detection.mean_average_precision(
      truths, [detection.clip(events)] * len(truths)
    ).mean()
    for name, events in _constant_lists(samples).items()
  }
  guess = max(guesses, key=lambda name: guesses[name])
  return results.Result(
    value=float(by_threshold.mean()),
    chance=float(guesses[guess]),
    guess=guess,
    parts=[
      {"score": _clip_score(t, p)} for t, p in zip(truths, said, strict=True)
    ],
    details={
      "mAP": _named(by_threshold),
      "queries": detection.query_scores(truths, said),
      "scores_of_predictions": "falling, in the order said",
    },
    official={
      "value": float(tied.mean()),
      "mAP": _named(tied),
      "scores_of_predictions": "all 1.0",
      "queries": detection.query_scores(truths, said, none_is_one=True),
      "n": len(samples),
      "dropped": 0,
    },
  )


def _named(values: np.ndarray) -> dict[str, float]:
  thresholds = detection.THRESHOLDS
  return {
    f"@{t:.1f}": float(v) for t, v in zip(thresholds, values, strict=True)
  }


def _clip_score(truth: detection.Clip, said: detection.Clip) -> float:
  """Mean IoU of the unions, over the classes of truth or prediction."""
  names = {*truth, *said}
  if not names:
    return 1.0
  total = 0.0
  for name in names & truth.keys() & said.keys():
    first = detection.merged(truth[name])
    second = detection.merged(said[name])
    length = sum(e - s for s, e in first) + sum(e - s for s, e in second)
    shared = sum(
      max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second
    )
    total += shared / (length - shared) if shared else 0.0
  return total / len(names)

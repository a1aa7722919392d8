"""Dense event localisation (UnAV-100): mAP and the per-class query protocol.

Segments are (start, end) in seconds. `Clips` is one dict a clip, class ->
list of segments.
"""

import collections

import numpy as np

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))  # tIoU
F1_THRESHOLDS = (0.3, 0.5, 0.7)

Segment = tuple[float, float]
Clip = dict[str, list[Segment]]


def clip(events: tuple[intervals.Event, ...]) -> Clip:
  """The segments of each class of one answer, in the order of the text."""
  found = collections.defaultdict(list)
  for event in events:
    found[labels.canonical(event.label)].append((event.start, event.end))
  return dict(found)


def tiou(first: Segment, second: Segment) -> float:
  """Temporal intersection over union."""
  shared = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
  return shared / (first[1] - first[0] + second[1] - second[0] - shared)


def hits(
  truth: list[Segment], said: list[Segment], thresholds=THRESHOLDS
) -> np.ndarray:
  """bool[thresholds, said]: which predictions find a true segment.

  Greedy, in the order of the predictions: each takes the free true segment
  that it overlaps most, if that is at least the threshold.
  """
  found = np.zeros((len(thresholds), len(said)), bool)
  if not truth:
    return found
  overlaps = [[tiou(s, t) for t in truth] for s in said]
  for k, threshold in enumerate(thresholds):
    free = list(range(len(truth)))
    for i, row in enumerate(overlaps):
      best = max(free, key=row.__getitem__, default=None)  # first of equals
      if best is not None and row[best] >= threshold:
        free.remove(best)
        found[k, i] = True
  return found


def average_precision(hit: np.ndarray, positives: int, tied: bool) -> float:
  """Area under the interpolated precision-recall curve.

  Args:
    hit: bool[n], whether each prediction is right, best score first.
    positives: number of true segments, at least 1.
    tied: all scores are equal, so the curve has one point: the area is
      precision times recall, whatever the order. Otherwise the order counts
      (ActivityNet's convention, every prediction a point).
  """
  if not len(hit):
    return 0.0
  true_positives = np.cumsum(hit)
  precision = true_positives / np.arange(1, len(hit) + 1)
  recall = true_positives / positives
  if tied:
    return float(precision[-1] * recall[-1])
  # Interpolated: the best precision at this recall or a higher one. Reversed, as
  # the maximum is taken from the last point on.
  precision = np.maximum.accumulate(precision[::-1])[::-1]
  steps = np.diff(np.concatenate(([0.0], recall)))
  return float(np.sum(steps * precision))


def mean_average_precision(
  truths: list[Clip], predictions: list[Clip], tied: bool = True
) -> np.ndarray:
  """float64[9]: mAP at tIoU 0.1, 0.2, .., 0.9, the mean over true classes.

  A language model gives no scores: all are 1.0. With `tied` the equal scores
  are one group, so the order of the rows does not matter; without, they count
  in the order of the rows (the official code sorts equal scores in an order of
  its sort's own). scikit-learn's average precision does not interpolate, so it
  is not the standard here.

  Reference: UnAV-100 (arXiv 2303.12930), ActivityNet's detection mAP.
  """
  positives: collections.Counter[str] = collections.Counter()
  found = collections.defaultdict(list)
  for truth, said in zip(truths, predictions, strict=True):
    for name, true_segments in truth.items():
      positives[name] += len(true_segments)
    for name, said_segments in said.items():
      found[name].append(hits(truth.get(name, []), said_segments))
  classes = sorted(positives)
  areas = np.zeros((len(THRESHOLDS), len(classes)))
  for j, name in enumerate(classes):
    if name in found:
      hit = np.concatenate(found[name], axis=1)
      areas[:, j] = [average_precision(h, positives[name], tied) for h in hit]
  return areas.mean(1) if classes else np.zeros(len(THRESHOLDS))


def merged(parts: list[Segment]) -> list[Segment]:
  """The union of segments as disjoint ones in order."""
  joined: list[Segment] = []
  for start, end in sorted(parts):
    if joined and start <= joined[-1][1]:
      joined[-1] = (joined[-1][0], max(joined[-1][1], end))
    else:
      joined.append((start, end))
  return joined


def union_iou(segment: Segment, others: list[Segment]) -> float:
  """IoU of a segment with the union of those others that overlap it."""
  near = [o for o in others if min(o[1], segment[1]) > max(o[0], segment[0])]
  # Their own overlaps must not count twice.
  near = merged(near)
  shared = sum(min(o[1], segment[1]) - max(o[0], segment[0]) for o in near)
  length = sum(o[1] - o[0] for o in near) + segment[1] - segment[0]
  return shared / (length - shared)


def count_f1(
  counts: list[tuple[int, int]], none_is_one: bool = False
) -> dict[str, float | None]:
  """How well the number of segments is predicted, whatever their times.

  Args:
    counts: for each query the true number of segments (>= 1) and the
      predicted one.
    none_is_one: OSA counts a query without any predicted segment as right.

  Returns:
    "USA": over queries with two or more segments, the mean of the smaller
    over the larger count, rescaled so that always saying one gives 0;
    "OSA": over queries with exactly one, the share that got exactly one;
    "CountF1": their harmonic mean. None where no such query exists.

  Reference: the query protocol of TiTok, whose code has `none_is_one`; here a
  missing answer is wrong.
  """
  many = [(true, said) for true, said in counts if true >= 2]
  right = (0, 1) if none_is_one else (1,)
  one = [said in right for true, said in counts if true == 1]
  usa = osa = None
  if many:
    # What always saying one segment reaches: the zero of the rescaled score.
    floor = np.mean([1 / true for true, _ in many])
    coverage = np.mean([min(pair) / max(pair) for pair in many])
    usa = max(0.0, float((coverage - floor) / (1 - floor)))
  if one:
    osa = float(np.mean(one))
  both = None
  if usa is not None and osa is not None:
    both = 2 * usa * osa / (usa + osa) if usa + osa else 0.0
  return {"USA": usa, "OSA": osa, "CountF1": both}


def query_scores(
  truths: list[Clip], predictions: list[Clip], none_is_one: bool = False
) -> dict[str, float | None]:
  """The protocol that asks one query a (clip, true class).

  mIoU is the mean over true segments of their union IoU with the predicted
  ones of that class; recall at a threshold the share of true segments whose
  union IoU reaches it, precision the share of predicted ones, F1 their
  harmonic mean. Classes that are not true are not asked for; `none_is_one` as
  of `count_f1`.

  Reference: TiTok, its union and count metrics.
  """
  recalled, precise, counts = [], [], []
  for truth, predicted in zip(truths, predictions, strict=True):
    for name, true_segments in truth.items():
      said = predicted.get(name, [])
      recalled += [union_iou(segment, said) for segment in true_segments]
      precise += [union_iou(segment, true_segments) for segment in said]
      counts.append((len(true_segments), len(said)))
  scores = {"mIoU": float(np.mean(recalled)) if recalled else 0.0}
  for threshold in F1_THRESHOLDS:
    recall, precision = (
      float(np.mean(np.array(values) >= threshold)) if values else 0.0
      for values in (recalled, precise)
    )
    total = recall + precision
    f1 = 2 * recall * precision / total if total else 0.0
    scores[f"F1@{threshold}"] = f1
  return {**scores, **count_f1(counts, none_is_one)}

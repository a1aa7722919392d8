"""Dense event localisation (UnAV-100): mAP and the per-class query protocol.

Segments are (start, end) in seconds. `Clips` is one dict a clip, class ->
list of segments. A segment that does not end after its start overlaps nothing:
said, it is a false positive.
"""

import collections

import numpy as np

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

# tIoU. The official grid and no rounder one: its 0.7 is 0.7000000000000001,
# which an overlap of 7 seconds in 10 does not reach.
THRESHOLDS = tuple(np.linspace(0.1, 0.9, 9).tolist())
F1_THRESHOLDS = (0.3, 0.5, 0.7)
_SAME = 1e-3  # seconds; true segments closer than this are one

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
  shared = min(first[1], second[1]) - max(first[0], second[0])
  if shared <= 0:
    return 0.0
  # The lengths are added first, as the official code does: another order
  # rounds otherwise, and an overlap may equal a threshold.
  return shared / ((first[1] - first[0]) + (second[1] - second[0]) - shared)


def distinct(segments: list[Segment]) -> list[Segment]:
  """The segments without those that repeat an earlier one to 1 ms."""
  kept: list[Segment] = []
  for start, end in segments:
    if not any(
      abs(start - s) <= _SAME and abs(end - e) <= _SAME for s, e in kept
    ):
      kept.append((start, end))
  return kept


def hits(
  truth: list[Segment], said: list[Segment], thresholds=THRESHOLDS
) -> np.ndarray:
  """bool[thresholds, said]: which predictions find a true segment.

  Greedy, in the order of the predictions: each takes the free true segment
  that it overlaps most, if that is at least the threshold. Of equal overlaps
  the last true segment is taken (of three or more, numpy's sort decides).
  """
  found = np.zeros((len(thresholds), len(said)), bool)
  taken: list[set[int]] = [set() for _ in thresholds]
  for i, segment in enumerate(said):
    overlaps = [tiou(segment, true) for true in truth]
    if not any(overlaps):
      continue
    # Not a stable sort: the official code has numpy's default one, whose
    # vectorised form may exchange equal overlaps.
    order = np.argsort(overlaps)[::-1].tolist() if len(truth) > 1 else [0]
    for k, threshold in enumerate(thresholds):
      free = (j for j in order if j not in taken[k])
      best = next(free, None)
      if best is not None and overlaps[best] >= threshold:
        taken[k].add(best)
        found[k, i] = True
  return found


def average_precision(hit: np.ndarray, positives: int) -> float:
  """Area under the interpolated precision-recall curve.

  Args:
    hit: bool[n], whether each prediction is right, best score first.
    positives: number of true segments, at least 1.
  """
  if not len(hit):
    return 0.0
  true_positives = np.cumsum(hit)
  precision = true_positives / np.arange(1, len(hit) + 1)
  recall = true_positives / positives
  # Interpolated: the best precision at this recall or a higher one. Reversed, as
  # the maximum is taken from the last point on.
  precision = np.maximum.accumulate(precision[::-1])[::-1]
  steps = np.diff(np.concatenate(([0.0], recall)))
  return float(np.sum(steps * precision))


def mean_average_precision(
  truths: list[Clip], predictions: list[Clip], tied: bool = False
) -> np.ndarray:
  """float64[9]: mAP at tIoU 0.1, 0.2, .., 0.9, the mean over true classes.

  A language model gives no scores, so the predictions need an order: that in
  which they are said, clip after clip, as if scores fell. scikit-learn's average
  precision does not interpolate, so it is not the standard here.

  Args:
    truths: true segments; those that repeat another count once.
    predictions: of the same clips.
    tied: all scores are 1.0, in the order in which the official code sorts
      them. It turns round what numpy's argsort gives, which leaves equal
      scores as they are (where it is vectorised; the scalar one of old
      processors does so up to 16 predictions of a class).

  Reference: UnAV-100 (arXiv 2303.12930), ActivityNet's detection mAP.
  """
  positives: collections.Counter[str] = collections.Counter()
  found = collections.defaultdict(list)
  pairs = list(zip(truths, predictions, strict=True))
  # Clips share no true segments: each is matched by itself, in the order of
  # the ranking.
  for truth, said in reversed(pairs) if tied else pairs:
    true = {name: distinct(segments) for name, segments in truth.items()}
    for name, segments in true.items():
      positives[name] += len(segments)
    for name, segments in said.items():
      ranked = segments[::-1] if tied else segments
      found[name].append(hits(true.get(name, []), ranked))
  classes = sorted(name for name, count in positives.items() if count)
  areas = np.zeros((len(THRESHOLDS), len(classes)))
  for j, name in enumerate(classes):
    if name in found:
      hit = np.concatenate(found[name], axis=1)
      areas[:, j] = [average_precision(h, positives[name]) for h in hit]
  return areas.mean(1) if classes else np.zeros(len(THRESHOLDS))


def merged(parts: list[Segment]) -> list[Segment]:
  """The union of segments as disjoint ones in order."""
  joined: list[Segment] = []
  for start, end in sorted(part for part in parts if part[0] < part[1]):
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
  if not near:
    return 0.0
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

"""What a row's answer is, in the structure that answers are read into.

A target is written from it and must be read back as it (`conclusions`). A label
that no answer can state is refused here, by name.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from crab_jax import configs
from crab_jax.annotation import points
from crab_jax.annotation import rows
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import coordinates
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.scoring import masks

_SIZE = configs.COORDINATE_SIZE


class Unbuildable(Exception):
  """Why a row cannot become an annotation; `status` counts it."""

  def __init__(self, status: str, reason: str):
    super().__init__(reason)
    self.status = status
    self.reason = reason


@dataclasses.dataclass(frozen=True)
class Truth:
  """The answer of a row.

  Attributes:
    answer: as the target must be read.
    name: of the object that a place is of; "" elsewhere.
    boxed: whether the points are of the box alone, for want of a mask.
  """

  answer: answers.Answer
  name: str = ""
  boxed: bool = False


def of_label(row: rows.Row, task: tasks.Task) -> Truth:
  """The truth of a row of classes, of questions, or of captions."""
  if task.kind == "caption":
    return Truth(answers.Answer("caption", caption=row.caption))
  asked = bool(task.question_keys("train"))
  label = row.answer or row.label if asked else row.label
  return Truth(answers.Answer("label", label=label))


def of_events(
  events: Iterable[intervals.Event], task: tasks.Task, whole: bool
) -> Truth:
  """The truth of a clip with events, grouped by modality and label.

  Args:
    events: of the clip.
    task: whether its metric tells seen from heard decides about modalities.
    whole: whether times are whole seconds: starts are floored and ends raised.
  """
  told = [one for event in events for one in _by_modality(event, task)]
  groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
  for event in sorted(told, key=lambda event: event.start):
    start, end = round(event.start, 2), round(event.end, 2)
    if whole:
      start, end = math.floor(start), math.ceil(end)
    groups.setdefault((event.modality, event.label), []).append((start, end))
  order = ["both", "visual", "audio"]
  found = [
    intervals.Event(label, float(start), float(end), modality)
    for (modality, label), spans in sorted(
      groups.items(), key=lambda item: order.index(item[0][0])
    )
    for start, end in joined(spans)
  ]
  return Truth(answers.Answer("events", events=tuple(found)))


def tells_modality(task: tasks.Task) -> bool:
  """Whether the answers of a task say what is seen and what is heard."""
  return task.metric == "type_at_av"


def _by_modality(
  event: intervals.Event, task: tasks.Task
) -> list[intervals.Event]:
  if not tells_modality(task):
    return [dataclasses.replace(event, modality="both")]
  if event.modality != "both":
    return [event]
  return [
    dataclasses.replace(event, modality=one) for one in ("visual", "audio")
  ]


def joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
  """Intervals in order; those that overlap as one."""
  found: list[tuple[float, float]] = []
  for start, end in sorted(spans):
    if found and start < found[-1][1]:
      found[-1] = (found[-1][0], max(end, found[-1][1]))
    else:
      found.append((start, end))
  return found


def of_place(
  row: rows.Row,
  task: tasks.Task,
  size: tuple[int, int],
  mask: np.ndarray | None,
) -> Truth:
  """The truth of a row that names a place.

  Args:
    row: with a box in pixels of the image, or a mask.
    task: of kind place or existence.
    size: width and height of the image, pixels.
    mask: bool[224, 224], True on the object; or None.

  Raises:
    Unbuildable: the box or the mask has no extent.
  """
  name = row.object or row.expression
  placed = task.kind == "place" or task.mask is not None
  if row.exists is False:
    answer = answers.Answer("existence", exists=False)
    return Truth(answer, name)
  exists = True if task.kind == "existence" else None
  if not placed:
    return Truth(answers.Answer(task.kind, exists=exists), name)
  box, marks, boxed = _place(row, size, mask)
  if task.mask is None:  # the box alone is asked for
    marks, boxed = (), False
  answer = answers.Answer(task.kind, exists=exists, box=box, points=marks)
  return Truth(answer, name, boxed)


def _place(row: rows.Row, size: tuple[int, int], mask: np.ndarray | None):
  """Box, points, and whether these are of the box alone."""
  if mask is not None:
    box = masks.extent(mask)
    if box is None or box[0] >= box[2] or box[1] >= box[3]:
      raise Unbuildable("empty_mask", "the mask has no extent at 224 x 224")
  else:
    box = grid_box(row, size)
  if row.points:
    return box, _given_points(row, size), False
  if mask is not None:
    return box, points.of_mask(mask), False
  return box, points.of_box(box), True


def grid_box(row: rows.Row, size: tuple[int, int]) -> coordinates.Box:
  """The box of a row in 0..223.

  Raises:
    Unbuildable: it has no extent there.
  """
  assert row.box is not None
  x1, y1, x2, y2 = row.box
  if row.box_format == "xywh":
    x2, y2 = x1 + x2, y1 + y2
  wide, high = (1, 1) if row.box_format == "norm" else size
  corners = [x1 / wide, y1 / high, x2 / wide, y2 / high]
  a, b, c, d = (_clamp(round(value * _SIZE)) for value in corners)
  if a >= c or b >= d:
    raise Unbuildable(
      "empty_box",
      f"the box {list(row.box)} has no extent in an image of"
      f" {size[0]} x {size[1]}",
    )
  return a, b, c, d


def _given_points(
  row: rows.Row, size: tuple[int, int]
) -> tuple[coordinates.Point, ...]:
  """Three points on the grid; a row with fewer repeats its last."""
  wide, high = (1, 1) if row.box_format == "norm" else size
  found = [
    (_clamp(round(x / wide * _SIZE)), _clamp(round(y / high * _SIZE)))
    for x, y in row.points[: points.COUNT]
  ]
  found += found[-1:] * (points.COUNT - len(found))
  return tuple(found)


def _clamp(value: int) -> int:
  return min(max(value, 0), _SIZE - 1)

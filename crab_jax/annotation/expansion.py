"""Rows -> what can be built of them: clips, parts of clips, true answers.

Every row becomes one or more items, or an `Outcome` with the reason why not.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from collections.abc import Iterator

from crab_jax.annotation import conclusions
from crab_jax.annotation import event_windows
from crab_jax.annotation import items
from crab_jax.annotation import media_files
from crab_jax.annotation import rle
from crab_jax.annotation import rows
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import truths
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.data.media import pictures
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

_SLACK = 1.0  # seconds that times may lie behind the end: labels are rounded


@dataclasses.dataclass(frozen=True)
class Outcome:
  """Why a row, or a part of it, is not built.

  Attributes:
    id: of the row or part; "" where it has none.
    task: its name.
    where: file and line.
    status: what is counted.
    reason: one sentence.
  """

  id: str
  task: str
  where: str
  status: str
  reason: str


def expand(
  found: Iterable[rows.Row],
  table: tasks.Tasks,
  library: media_files.Library,
  settings: settings_lib.Settings,
) -> tuple[list[items.Item], list[Outcome]]:
  """The items of rows, in their order, and what became of the others."""
  built: list[items.Item] = []
  outcomes: list[Outcome] = []
  for row in found:
    name = row.id
    try:
      media = _media(row, table[row.task], library)
      name = row.id or f"{next(iter(media.values())).short}-{row.number}"
      for item in _items(name, row, table[row.task], media, library, settings):
        if isinstance(item, Outcome):
          outcomes.append(item)
        else:
          conclusions.require_sayable(table[row.task], item.truth)
          built.append(item)
    except truths.Unbuildable as error:
      outcomes.append(
        Outcome(name, row.task, row.where, error.status, error.reason)
      )
  return built, outcomes


def _media(
  row: rows.Row, task: tasks.Task, library: media_files.Library
) -> dict[str, media_files.Facts]:
  """Column -> facts, in the feeding order of the task."""
  found = {}
  for column in map(schema.column_of, task.media):
    path = row.media.get(column)
    source = path or row.media[schema.sound_source(row, column) or column]
    facts = library.facts(source, image=column == "image")
    if column.startswith("audio") and not facts.audio:
      raise truths.Unbuildable("no_sound", f"{source} has no sound")
    if not column.startswith("audio") and not facts.video:
      raise truths.Unbuildable("no_frames", f"{source} has no frames")
    found[column] = facts
  if task.visual == "image" and row.exists is not False:
    if row.rle:
      found["mask"] = _drawn(row, found["image"])
    elif row.mask:
      found["mask"] = _picture(row, library)
  return found


def _picture(row: rows.Row, library: media_files.Library) -> media_files.Facts:
  """The file of a mask."""
  try:
    return library.facts(row.mask, image=True)
  except truths.Unbuildable as error:
    if error.status == "bad_media":
      raise truths.Unbuildable("bad_mask", error.reason) from error
    raise


def _drawn(row: rows.Row, image: media_files.Facts) -> media_files.Facts:
  """The file that a mask of run lengths becomes; its path is ""."""
  try:
    mask = rle.decode(row.rle)
  except ValueError as error:
    raise truths.Unbuildable("bad_mask", f"mask: {error}") from None
  high, wide = mask.shape
  assert image.size is not None
  if abs(wide * image.size[1] - high * image.size[0]) > sum(image.size):
    raise truths.Unbuildable(
      "bad_mask",
      f"mask: its size [{high}, {wide}] (height, width) is not of the shape of"
      f" its image, which is {image.size[0]} wide and {image.size[1]} high",
    )
  digest = hashlib.sha256(rle.png(mask)).hexdigest()
  return media_files.Facts("", digest, None, True, False, (wide, high))


def _items(
  name: str,
  row: rows.Row,
  task: tasks.Task,
  media: dict[str, media_files.Facts],
  library: media_files.Library,
  settings: settings_lib.Settings,
) -> Iterator[items.Item | Outcome]:
  """The items of one row."""
  cut, length = _clip(row, media)
  plain = items.Item(
    name, row, task.name, truths.Truth(answers.Answer(task.kind)), media,
    cut, length,
  )  # fmt: skip
  if task.kind == "events":
    yield from _with_events(plain, task, settings)
    return
  if row.events:  # they help the writer
    row = dataclasses.replace(row, events=_events(plain, settings))
    plain = dataclasses.replace(plain, row=row)
  if task.kind in ("place", "existence"):
    yield _with_place(plain, task, library)
  else:
    yield dataclasses.replace(plain, truth=truths.of_label(row, task))


def _clip(
  row: rows.Row, media: dict[str, media_files.Facts]
) -> tuple[tuple[float, float] | None, float | None]:
  """What to cut of the files, and how long the clip is."""
  seconds = next((f.seconds for f in media.values() if f.seconds), None)
  if row.start is None and row.end is None:
    return None, seconds
  start, end = row.start or 0.0, row.end if row.end is not None else seconds
  if end is None:
    raise truths.Unbuildable("bad_times", "nobody tells where the clip ends")
  if seconds is not None:
    if start >= seconds or end > seconds + _SLACK:
      raise truths.Unbuildable(
        "bad_times",
        f"the clip is {start:g} to {end:g}, its file has {seconds:.2f} s",
      )
    end = min(end, seconds)
  return (start, end), end - start


def _with_place(
  item: items.Item, task: tasks.Task, library: media_files.Library
) -> items.Item:
  row, mask = item.row, None
  if row.rle and "mask" in item.media:
    mask = pictures.mask_on_grid(rle.decode(row.rle))
  elif "mask" in item.media:
    try:
      mask = pictures.read_mask(library.folder / row.mask)
    except statuses.RecordError as error:
      raise truths.Unbuildable("bad_mask", error.reason) from error
  size = item.media["image"].size if "image" in item.media else None
  truth = truths.of_place(row, task, size or (1, 1), mask)
  marks = ("points_from_box",) if truth.boxed else ()
  return dataclasses.replace(item, truth=truth, marks=marks)


def _with_events(
  item: items.Item, task: tasks.Task, settings: settings_lib.Settings
) -> Iterator[items.Item | Outcome]:
  """The clip, or its windows."""
  events = _events(item, settings)
  marks: tuple[str, ...] = ("weak",) if item.row.events is None else ()
  if item.row.proposed:
    marks = ("proposed_times",)
  item = dataclasses.replace(item, marks=marks)
  whole, length = settings.window > 0, item.length
  if not whole or length is None or length <= settings.window + _SLACK:
    yield dataclasses.replace(item, truth=truths.of_events(events, task, whole))
    return
  digest = hashlib.sha256(item.id.encode()).digest()
  windows = event_windows.cut(
    length,
    events,
    settings.window,
    settings.windows_per_clip,
    share=digest[0] / 255,
  )
  yield from _dropped(item, events, windows)
  origin = item.cut[0] if item.cut else 0.0
  for window in windows:
    yield dataclasses.replace(
      item,
      id=f"{item.id}-w{window.start:g}",
      truth=truths.of_events(window.events, task, whole),
      cut=(origin + window.start, origin + window.end),
      length=window.end - window.start,
    )


def _dropped(
  item: items.Item,
  events: tuple[intervals.Event, ...],
  windows: list[event_windows.Window],
) -> Iterator[Outcome]:
  """What of a long clip lies in no window."""
  inside = sum(
    any(e.start < w.end and e.end > w.start for w in windows) for e in events
  )
  short = sum(window.dropped for window in windows)
  if not windows:
    reason = "no window holds one of its events"
  elif inside < len(events) or short:
    reason = (
      f"{len(events) - inside} events lie outside of its windows, of {short}"
      f" less than {event_windows.SHORTEST:g} s lies in one"
    )
  else:
    return
  status = "events_outside" if windows else "no_window"
  yield Outcome(item.id, item.task, item.row.where, status, reason)


def _events(
  item: items.Item, settings: settings_lib.Settings
) -> tuple[intervals.Event, ...]:
  """The events of a row, on its clip.

  Raises:
    Unbuildable: they have no times, or end behind the clip.
  """
  length = item.length
  if item.row.events is None:
    if settings.weak == "skip" or length is None:
      raise truths.Unbuildable(
        "weak_label", "its labels have no times (--weak says what to do)"
      )
    return tuple(
      intervals.Event(label, 0.0, length) for label in item.row.labels
    )
  found = []
  for event in item.row.events:
    if length is not None and event.end > length + _SLACK:
      raise truths.Unbuildable(
        "bad_times",
        f"{event.label} ends at {event.end:g}, the clip has {length:.2f} s",
      )
    # Of a clip of 9.98 s the last second is the tenth.
    end = event.end if length is None else min(event.end, math.ceil(length))
    if event.start < end:
      found.append(dataclasses.replace(event, end=end))
  return tuple(found)

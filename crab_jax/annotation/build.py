"""Items -> the rows of AV-UIE annotation files.

The keys are those that the loaders of AV-UIE v2 demand, also the ones that they
throw away, so that files made here can be read by the official code. A row of a
task file has the keys that it names.
"""

import dataclasses
from typing import Any

from crab_jax import errors
from crab_jax.annotation import conclusions
from crab_jax.annotation import items
from crab_jax.annotation import placing
from crab_jax.annotation import schema
from crab_jax.annotation import truths
from crab_jax.data import annotations
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import references

UNREADABLE = "unreadable"  # status of a row that is read as another answer
# Keys that the official loader demands beside media, question and target; see
# the tables of the dataset's contract. Those of the test split are in `needs`.
_CHOICES = ("audio_event", "video1_event", "video2_event")
_TRAIN = {
  "a2v": ("correct_video", *_CHOICES),
  "v2a": ("correct_audio", "audio1_event", "audio2_event", "video_event"),
  "ks": ("action",),
  "ucf": ("label",),
  "meld": ("Emotion",),
  "mer24": ("discrete",),
  "cremad": ("emotion",),
  "mafw": ("emotion",),
  "dfew": ("emotion",),
  "avqa": ("video_id", "question_id", "type", "answer"),
  "avqa_thu": (
    "id", "video_name", "video_id", "question_relation", "question_type",
    "answer",
  ),
  "ave": ("event", "vid", "start_time", "end_time"),
  "unav": ("vid",),
  "avvp": ("filename", "vid", "event"),
  "ms3": ("frame_idx", "vid", "uid", "a_obj"),
  "s4": ("vid", "uid", "a_obj"),
  "arig": ("a_obj",),
  "ref_avs": ("idx", "vid", "fid", "uid"),
  "avcap": ("video_id",),
}  # fmt: skip
_TEST = {
  **_TRAIN,
  "s4": ("vid", "uid", "a_obj", "frame_idx"),
  "arig": ("a_obj", "top_left", "bottom_right", "frame_idx"),
  "ref_avs": ("object", "split", "vid", "uid", "fid", "frame_idx"),
}


def row(item: items.Item, task: tasks.Task, reasoning: str) -> dict[str, Any]:
  """An annotation.

  Args:
    item: its clip, truth and split.
    task: its row of the table of tasks.
    reasoning: what its target begins with; of a test row nothing is read.

  Raises:
    Unbuildable: what it is read as is not the truth.
  """
  keys = "test" if item.split == "test" and task.has_test else "train"
  where = placing.places(item, task)
  found: dict[str, Any] = {"id": item.id}
  for key in task.media_keys(keys):
    found[key] = where[schema.column_of(key)].value
  found |= _questions(item, task, keys)
  found |= _facts(item, task, keys)
  if keys == "train":
    found[task.target] = conclusions.target(reasoning, item.truth)
  _require_truth(item, task, found)
  return found


def _questions(item: items.Item, task: tasks.Task, keys: str) -> dict[str, Any]:
  said = {
    "question": item.row.question,
    "options": list(item.row.options),
    "description": item.row.expression or item.row.object,
  }
  return {key: said[field] for field, key in task.question_keys(keys).items()}


def _facts(item: items.Item, task: tasks.Task, keys: str) -> dict[str, Any]:
  """The keys that say what the answer is, and whose it is."""
  if task.stream is None:
    return _own_facts(item, task) if keys == "test" else dict(item.row.meta)
  names = (_TEST if keys == "test" else _TRAIN)[task.name]
  values = {**_values(item, task), **_official(item, task)}
  return {name: values[name] for name in names}


def _official(item: items.Item, task: tasks.Task) -> dict[str, Any]:
  """Every key of the built-in tasks: of the row's own columns, or empty."""
  meta, number = item.row.meta, placing.frame_index(item, task)
  names = {
    name: meta.get(name, "")
    for name in (*_CHOICES, "audio1_event", "audio2_event", "video_event")
  }
  return {
    **names,
    "type": item.row.question_type,
    "question_type": item.row.question_type,
    "question_relation": meta.get("question_relation", ""),
    "question_id": meta.get("question_id", item.id),
    "id": item.id,
    "video_id": meta.get("video_id", item.id),
    "video_name": meta.get("video_name", item.id),
    "filename": meta.get("filename", item.id),
    "vid": meta.get("vid", item.id),
    "uid": meta.get("uid", item.id),
    "fid": meta.get("fid", 0),
    "frame_idx": number,
    "idx": number,
    "object": item.row.expression or item.row.object,
    "split": _subset(item),
  }


def _subset(item: items.Item) -> str:
  """Which of the three test sets of Ref-AVS."""
  if item.truth.answer.exists is False:
    return "test_n"
  return str(item.row.meta.get("subset", "test_s"))


def _values(item: items.Item, task: tasks.Task) -> dict[str, Any]:
  """What the answer is, by every name that a task has for it."""
  answer = item.truth.answer
  found: dict[str, Any] = {}
  if answer.label is not None:
    spelt = ("action", "label", "Emotion", "discrete", "emotion", "answer")
    found |= dict.fromkeys(spelt, answer.label)
    if task.family == "matching":
      number = int(answer.label)
      found |= {"correct_video": number, "correct_audio": number}
  if task.kind == "events":
    found["event"] = conclusions.state(item.truth).removesuffix(".")
    if task.name == "ave":
      found |= _one_event(item)
  if task.kind in ("place", "existence"):
    found["a_obj"] = item.truth.name
    if answer.box is not None:
      found["top_left"] = list(answer.box[:2])
      found["bottom_right"] = list(answer.box[2:])
  return found


def _one_event(item: items.Item) -> dict[str, Any]:
  """The fields of AVE, whose test rows have one event."""
  events = item.truth.answer.events
  if len(events) != 1 and item.split == "test":
    raise truths.Unbuildable(
      "several_events",
      f"a test row of ave has one event, this one has {len(events)}; a task"
      " file has no such limit",
    )
  first = events[0] if events else None
  return {
    "event": first.label if first else "none",
    "start_time": _number(first.start) if first else 0,
    "end_time": _number(first.end) if first else 0,
  }


def _number(value: float) -> float | int:
  return int(value) if value.is_integer() else value


def _own_facts(item: items.Item, task: tasks.Task) -> dict[str, Any]:
  """The keys of a test row of a task file.

  A key that the source has as a column is that; of the others, one may be left,
  which says the answer.
  """
  found = dict(item.row.meta)
  missing = [key for key in task.needs if key not in found]
  if len(missing) > 1:
    raise truths.Unbuildable(
      "missing_key",
      f"a test row of {task.name} needs {', '.join(missing)}: give columns of"
      " these names",
    )
  return found | dict.fromkeys(missing, _said(item))


def _said(item: items.Item) -> str:
  """The answer as the reference of a row of one's own holds it."""
  answer = item.truth.answer
  if answer.kind == "label":
    return str(answer.label)
  if answer.kind == "existence" and answer.box is None:
    return str(bool(answer.exists)).lower()
  return conclusions.state(item.truth).removesuffix(".")


def _require_truth(
  item: items.Item, task: tasks.Task, built: dict[str, Any]
) -> None:
  """Checks an annotation by the code that reads it for training and scores.

  Raises:
    Unbuildable: it is not read, or as another answer.
  """
  try:
    found = annotations.parse(task, item.split, 0, built)
    if found.target:
      problem = conclusions.difference(task, found.target, item.truth)
    else:
      problem = _misread(task, found, item.truth)
  except (errors.UserError, statuses.RecordError) as error:
    problem = str(error)
  if problem:
    raise truths.Unbuildable(UNREADABLE, problem)


def _misread(
  task: tasks.Task, found: annotations.Annotation, truth: truths.Truth
) -> str | None:
  """How the reference of a test row differs from the truth."""
  read = references.read(task, found.reference)
  wanted = dataclasses.replace(truth.answer, leniency=(), unread=())
  if task.kind == "label":
    same = labels.key(read.label) == labels.key(wanted.label)
  elif task.kind == "existence":
    same = read.exists == wanted.exists
  elif task.kind == "place":
    same = read.box in (None, wanted.box)  # of sets with masks none is told
  else:
    same = (read.events, read.caption) == (wanted.events, wanted.caption)
  return None if same else f"the reference reads as {read.to_json()}"

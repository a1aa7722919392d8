"""The true answer of a row, in the structure that predictions are read into.

The reference of a record is a dict: "text", the official reference string on
the test split and the training target elsewhere, and the raw annotation
fields it was made of. Both are read here, so that a set without a test file
is scored on its validation targets by the same code.
"""

import ast
import dataclasses
import json
import re

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

_CHOICE = "choice_accuracy"  # the metric of questions with options
# What of `Answer.unread` makes a list of events no reference.
_WRONG_EVENTS = (
  "empty_interval",
  "reversed_interval",
  "no_interval",
  "no_label",
)
# The three fields of the AVE test reference, space separated.
_AVE = re.compile(
  r"event:(.{1,200}?) start_time:([0-9.]{1,8}) end_time:([0-9.]{1,8})"
)


def read(task: tasks.Task, reference: dict) -> answers.Answer:
  """The reference of one row.

  Args:
    task: its row of the table of tasks.
    reference: {"text": str, raw fields}.

  Raises:
    UserError: the reference says nothing that the task can be scored with,
      or names a class that the task has not.
  """
  text = reference.get("text")
  text = "" if text is None else str(text)
  if task.kind == "existence":
    answer = _existence(text, reference, placed=task.mask is not None)
  else:
    answer = _READERS[task.kind](text, reference)
  if answer.failure:
    raise errors.UserError(
      f"{task.name}: a reference cannot be read ({answer.failure}):"
      f" {json.dumps(reference, ensure_ascii=False)[:300]}"
    )
  _require_classes(task, answer)
  return answer


def of_row(task: tasks.Task, row: dict) -> answers.Answer:
  """The reference of a row of predictions.

  Raises:
    UserError: as of `read`; or it is the position of an option, and the row
      does not tell the options.
  """
  answer = read(task, row["reference"])
  label = answer.label or ""
  if task.metric == _CHOICE and label.isdecimal() and not options(row):
    raise errors.UserError(
      f"{task.name}: the reference {label} is the position of an option, and"
      " nothing tells the options: give --data, the prepared records"
    )
  return answer


def has_object(task: tasks.Task, reference: dict, question: dict) -> bool:
  """Whether there is an object, of a task that asks; else True.

  Args:
    task: its row of the table of tasks.
    reference: of a record.
    question: of the record.

  Raises:
    UserError: as of `of_row`.
  """
  row = {"reference": reference, "question": question}
  return of_row(task, row).exists is not False


def _require_classes(task: tasks.Task, answer: answers.Answer) -> None:
  """Raises UserError for a true label that is none of the task's classes."""
  known = {labels.canonical(name, task.synonyms) for name in task.classes}
  found = [event.label for event in answer.events]
  found += [answer.label] if answer.label else []
  for label in found if known else ():
    if labels.canonical(label, task.synonyms) not in known:
      raise errors.UserError(
        f"{task.name}: a reference is {label!r}, none of its classes"
        f" {', '.join(task.classes)}"
      )


def options(row: dict) -> tuple[str, ...]:
  """The options of a row's question; () if it has none.

  Args:
    row: of predictions; they are in its question, or in the annotation.
  """
  question = row.get("question")
  asked = question.get("options") if isinstance(question, dict) else None
  return fields(asked or row["reference"].get("multi_choice"))


def _label(text: str, reference: dict) -> answers.Answer:
  """`<answer>X</answer>`, or the bare text where no tag is (QA tests)."""
  if "<answer>" in text:
    return answers.parse_label(text, known=bool)  # as it is written
  if not text.strip():
    return answers.Answer("label", failure="empty")
  return answers.Answer("label", label=text.strip(" \n."))


def _events(text: str, reference: dict) -> answers.Answer:
  """Blocks; or the AVE fields, raw or as `event:.. start_time:.. end_time:..`."""
  found = answers.parse_events(text)
  if not found.failure:
    # A false event costs an answer; in a reference it would cost every one.
    wrong = [name for name in found.unread if name in _WRONG_EVENTS]
    return dataclasses.replace(found, failure=wrong[0]) if wrong else found
  if {"event", "start_time", "end_time"} <= reference.keys():
    label, start, end = (
      reference[k] for k in ("event", "start_time", "end_time")
    )
  elif match := _AVE.search(text):
    label, start, end = match.groups()
  else:
    return found
  try:
    event = intervals.Event(str(label), float(start), float(end))
  except (TypeError, ValueError):
    return answers.Answer("events", failure="bad_time")
  if not 0 <= event.start < event.end:
    return answers.Answer("events", failure="empty_interval")
  return answers.Answer("events", events=(event,))


def _place(text: str, reference: dict) -> answers.Answer:
  """The box of ARIG's corners, else of the text; the masks are elsewhere."""
  corners = [reference.get(k) for k in ("top_left", "bottom_right")]
  if all(corners):
    try:
      x1, y1, x2, y2 = (
        int(value) for corner in corners for value in fields(corner)
      )
    except ValueError:  # no number, or not two of them
      return answers.Answer("place", failure="bad_corner")
    return answers.Answer("place", box=(x1, y1, x2, y2))
  found = answers.parse_place(text)
  return found if not found.failure else answers.Answer("place")


def _existence(text: str, reference: dict, placed: bool) -> answers.Answer:
  """Whether the object is there (not the null split), and its box if there is one."""
  if "split" in reference:
    return answers.Answer(
      "existence", exists=str(reference["split"]) != "test_n"
    )
  if not text.strip():
    return answers.Answer("existence", failure="empty")
  return answers.parse_existence(text, placed)


def _caption(text: str, reference: dict) -> answers.Answer:
  if not text.strip():
    return answers.Answer("caption", failure="empty")
  return answers.parse_caption(text)


_READERS = {
  "label": _label,
  "events": _events,
  "place": _place,
  "caption": _caption,
}


def fields(value) -> tuple[str, ...]:
  """A list that may be stored as itself, or as JSON or Python in a string."""
  if isinstance(value, str) and value.lstrip().startswith(("[", "(")):
    try:
      # It reads both, for a list of strings is written alike; no code is run.
      value = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
      return (value,)
  if isinstance(value, (list, tuple)):
    return tuple(str(item) for item in value)
  return () if value is None else (str(value),)

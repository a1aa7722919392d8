"""The true answer of a row, in the structure that predictions are read into.

The reference of a record is a dict: "text", the official reference string on
the test split and the training target elsewhere, and the raw annotation
fields it was made of. Both are read here, so that a set without a test file
is scored on its validation targets by the same code.
"""

import ast
import json
import re

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

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
    UserError: the reference says nothing that the task can be scored with.
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
  return answer


def _label(text: str, reference: dict) -> answers.Answer:
  """`<answer>X</answer>`, or the bare text where no tag is (QA tests)."""
  if "<answer>" in text:
    return answers.parse_label(text)
  if not text.strip():
    return answers.Answer("label", failure="empty")
  return answers.Answer("label", label=text.strip(" \n."))


def _events(text: str, reference: dict) -> answers.Answer:
  """Blocks; or the AVE fields, raw or as `event:.. start_time:.. end_time:..`."""
  found = answers.parse_events(text)
  if not found.failure:
    return found
  if {"event", "start_time", "end_time"} <= reference.keys():
    label, start, end = (
      reference[k] for k in ("event", "start_time", "end_time")
    )
  elif match := _AVE.search(text):
    label, start, end = match.groups()
  else:
    return found
  event = intervals.Event(str(label), float(start), float(end))
  return answers.Answer("events", events=(event,))


def _place(text: str, reference: dict) -> answers.Answer:
  """The box of ARIG's corners, else of the text; the masks are elsewhere."""
  corners = [reference.get(k) for k in ("top_left", "bottom_right")]
  if all(corners):
    x1, y1, x2, y2 = (
      int(value) for corner in corners for value in fields(corner)
    )
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
      value = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
      return (value,)
  if isinstance(value, (list, tuple)):
    return tuple(str(item) for item in value)
  return () if value is None else (str(value),)

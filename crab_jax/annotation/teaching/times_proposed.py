"""Times of labels that have none, as a teacher proposes them.

The reply writes them as a source does, `Dog@0-4;Speech@2-9:audio`. They are a
guess: rows with them wait for a person in any case.
"""

import math

from crab_jax.annotation import cells
from crab_jax.annotation import items
from crab_jax.annotation import truths
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.annotation.teaching import replies
from crab_jax.annotation.teaching import teacher as teacher_lib
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

CODE = "proposed_times"
_SLACK = 1.0  # seconds that a time may lie behind the end


class NoTimes(Exception):
  """No reply of the teacher had times that can be used; the last reason."""


def propose(
  teacher: teacher_lib.Teacher, item: items.Item
) -> tuple[intervals.Event, ...]:
  """When the labels of a row happen, in seconds of its clip.

  Args:
    teacher: is asked, as often as for a text.
    item: a row whose events last as long as its clip.

  Raises:
    NoTimes: no reply could be used.
    Unbuildable, Rejected, Unanswered: as of `Teacher.write`.
  """
  reason = ""
  for attempt in range(1, teacher.settings.attempts + 1):
    reply = _ask(teacher, item, attempt, reason)
    said = None if reply.refused else replies.read(reply.text)
    if said is None:
      reason = "refused" if reply.refused else "the reply cannot be read"
      continue
    try:
      return read(said.reasoning, item)
    except ValueError as error:
      reason = str(error)
  raise NoTimes(reason)


def _ask(
  teacher: teacher_lib.Teacher, item: items.Item, attempt: int, reason: str
) -> client_lib.Reply:
  named = "; ".join(item.row.labels)
  modal = truths.tells_modality(teacher.table[item.task])
  facts = teacher.facts(
    f"{item.id} times {attempt}", "times", teacher.temperature(attempt)
  )
  facts |= {"attempt": attempt, "labels": named, "modal": modal}
  facts |= {"reason": reason, **teacher.media_facts(item)}

  def make():
    senses = teacher.senses(item)
    messages = prompts_lib.times(
      item, teacher.prompts, senses.parts, named, modal, reason
    )
    return messages, senses.frames, senses.seconds

  return teacher.asker.ask(facts, make)


def read(text: str, item: items.Item) -> tuple[intervals.Event, ...]:
  """The events that a reply proposes, with the labels of the row.

  Args:
    text: of the reply.
    item: the row, whose clip has a length.

  Raises:
    ValueError: it is of another form, names other labels or not all, or times
      outside of the clip.
  """
  assert item.length is not None
  own = {labels.key(name): name for name in item.row.labels}
  found = []
  for event in cells.events(text):
    name = own.get(labels.key(event.label) or "")
    if name is None:
      raise ValueError(f"{event.label} is none of the labels")
    if event.start >= item.length or event.end > item.length + _SLACK:
      raise ValueError(
        f"{name} lasts from {event.start:g} to {event.end:g}, the clip has"
        f" {item.length:.2f} s"
      )
    # Of a clip of 9.98 s the last second is the tenth.
    end = min(event.end, float(math.ceil(item.length)))
    found.append(intervals.Event(name, event.start, end, event.modality))
  if missing := [n for n in own.values() if n not in {e.label for e in found}]:
    raise ValueError(f"there are no times of {', '.join(missing)}")
  return tuple(found)

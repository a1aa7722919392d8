"""The part of a target that states the answer, and whether it is read back.

The program writes it from the truth, whoever writes the reasoning. `target` +
`require_same`: `answers.parse` gives the truth back, with no failure and
nothing unread; with no leniency either, unless times have fractions of a
second, for which AV-UIE v2 has no form of its own.
"""

import itertools

from crab_jax.annotation import truths
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import vocabulary

_TAGS = {"both": "event", "visual": "visual", "audio": "audio"}
_FRACTIONS = "interval_style"  # of `Answer.leniency`


def state(truth: truths.Truth) -> str:
  """The conclusion of a target; of a caption the whole target."""
  answer = truth.answer
  if answer.kind == "label":
    return f"<answer>{answer.label}</answer>."
  if answer.kind == "events":
    return f"{_events(answer)}."
  if answer.kind == "place":
    return f"The {truth.name} is at {_place(answer)}."
  if answer.kind == "existence":
    return _existence(truth)
  return str(answer.caption)


def _events(answer: answers.Answer) -> str:
  """A block for each label: `<event>dog, (0 4)(6 9)</event>`."""
  if not answer.events:
    return "<event>none</event>"
  blocks = []
  for (modality, label), group in itertools.groupby(
    answer.events, key=lambda event: (event.modality, event.label)
  ):
    spans = "".join(f"({event.start:g} {event.end:g})" for event in group)
    tag = _TAGS[modality]
    blocks.append(f"<{tag}>{label}, {spans}</{tag}>")
  return " ".join(blocks)


def _place(answer: answers.Answer) -> str:
  """A box and, if there are, points."""
  box, *points = [
    "[" + ",".join(map(str, numbers)) + "]"
    for numbers in (answer.box or (), *answer.points)
  ]
  return f"{box}, points {', '.join(points)}" if points else box


def _existence(truth: truths.Truth) -> str:
  if not truth.answer.exists:
    return "<answer>false</answer>, it is not there."
  if truth.answer.box is None:
    return "<answer>true</answer>."
  place = _place(truth.answer)
  return f"<answer>true</answer>, the {truth.name} is at {place}."


def target(reasoning: str, truth: truths.Truth) -> str:
  """The supervision text of a row."""
  return f"{reasoning} {state(truth)}".strip()


def difference(task: tasks.Task, text: str, truth: truths.Truth) -> str | None:
  """How a target reads other than the truth; None: it reads as that.

  Args:
    task: its row of the table of tasks.
    text: the whole target.
    truth: what it should say.
  """
  wanted = truth.answer
  known = vocabulary.of_references(task, [wanted.label or ""])
  read = answers.parse(task, text, known)
  if read.failure or read.unread:
    return read.failure or f"unread: {', '.join(read.unread)}"
  for field in ("events", "exists", "box", "points", "label", "caption"):
    said, meant = getattr(read, field), getattr(wanted, field)
    if said != meant:
      return f"{field} {said!r} in the place of {meant!r}"
  whole = all(
    time.is_integer()
    for event in wanted.events
    for time in (event.start, event.end)
  )
  lenient = set(read.leniency) - (set() if whole else {_FRACTIONS})
  return (
    f"only with leniency: {', '.join(sorted(lenient))}" if lenient else None
  )


def require_sayable(task: tasks.Task, truth: truths.Truth) -> None:
  """Checks that the conclusion alone states the truth.

  Raises:
    Unbuildable: it does not: the label holds what an answer is made of.
  """
  if truth.answer.kind == "label" and not labels.key(truth.answer.label):
    raise truths.Unbuildable("unsayable", "the label has no letter or digit")
  if problem := difference(task, state(truth), truth):
    raise truths.Unbuildable("unsayable", f"no answer can state it: {problem}")

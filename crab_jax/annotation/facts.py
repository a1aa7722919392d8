"""What a label entails, as sentences: order, overlap, place, size, length.

Nothing is said that the label does not hold: no colours, no sizes but of the
box, no sounds but of the events.
"""

import re
from collections.abc import Callable
from collections.abc import Sequence

from crab_jax import configs
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import coordinates
from crab_jax.evaluation.reading import intervals

_SIZE = configs.COORDINATE_SIZE
_SMALL, _LARGE = 0.05, 0.35  # shares of the frame
_QUESTION_WORDS = 40
# Of so many events place and length in time are told; of more their times alone,
# or the words would outweigh the answer.
_DETAILED = 2
_VERBS = {
  "both": "is seen and heard",
  "visual": "is seen",
  "audio": "is heard",
}


def plain(text: str) -> str:
  """Text without what an answer is made of: tags, brackets, marks."""
  return " ".join(re.sub(r"[<>\[\](){}|*`#_\\]", " ", text).split())


def question(row: rows.Row) -> str:
  """What is asked, as a sentence of its own."""
  words = plain(row.question).split()
  asked = " ".join(words[:_QUESTION_WORDS]).rstrip(".")
  return asked if asked.endswith(("?", "!")) else f"{asked}."


def helps(row: rows.Row) -> str:
  """Transcript and hint as sentences; "" without."""
  said = []
  if row.transcript:
    said.append(f'What is said is "{plain(row.transcript)}".')
  if row.hint:
    said.append(f"{plain(row.hint).rstrip('.')}.")
  return " ".join(said)


def of_events(
  events: Sequence[intervals.Event],
  length: float | None,
  modal: bool,
  spoken: Callable[[str], str] = plain,
) -> str:
  """Sentences about events in the order in which they begin.

  Of one or two also where in the clip they lie and whether they overlap.

  Args:
    events: of the clip.
    length: of the clip, seconds; None: not known.
    modal: whether the answer tells what is seen from what is heard.
    spoken: gives the words of a label.
  """
  if not events:
    return "No event takes place."
  ordered = sorted(events, key=lambda event: (event.start, event.end))
  sentences = []
  for index, event in enumerate(ordered):
    verb = _VERBS[event.modality] if modal else "takes place"
    lead = "Then " if index else ""
    when = f", {_when(event, length)}" if len(ordered) <= _DETAILED else ""
    sentences.append(
      f"{lead}{spoken(event.label)} {verb} from second {event.start:g} to"
      f" {event.end:g}{when}."
    )
  if len(ordered) == _DETAILED:
    sentences += _overlap(*ordered, spoken)
  return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _when(event: intervals.Event, length: float | None) -> str:
  """Where in the clip an event lies."""
  lasts = event.end - event.start
  if length is None:
    return f"for {_seconds(lasts)}"
  if lasts >= 0.95 * length:
    return "over the whole clip"
  middle = (event.start + event.end) / 2 / length
  part = ("at the beginning", "in the middle", "at the end")[
    min(int(middle * 3), 2)
  ]
  return f"{part} of the clip, for {_seconds(lasts)}"


def _seconds(count: float) -> str:
  return f"{count:g} second{'s' * (count != 1)}"


def _overlap(
  one: intervals.Event, other: intervals.Event, spoken: Callable[[str], str]
) -> list[str]:
  """A sentence about different events that overlap; the first begins first."""
  if one.label == other.label or other.start >= one.end:
    return []
  return [
    f"For some time {spoken(one.label)} and {spoken(other.label)} go on together."
  ]


def of_place(truth: truths.Truth, spoken: Callable[[str], str] = plain) -> str:
  """A sentence about the place of an object.

  Args:
    truth: its answer.
    spoken: gives the words of a label.
  """
  name = spoken(truth.name)
  answer: answers.Answer = truth.answer
  if answer.exists is False:
    return f"Nothing in it fits {name}."
  if answer.box is None:
    return f"Something in it fits {name}."
  return f"What fits is {name}, {position(answer.box)}{extent(answer.box)}."


def position(box: coordinates.Box) -> str:
  """In which third of the frame the middle of a box lies."""
  x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
  across = ("on the left", "", "on the right")[min(int(3 * x / _SIZE), 2)]
  down = ("in the upper part", "", "in the lower part")[
    min(int(3 * y / _SIZE), 2)
  ]
  return " ".join(filter(None, (down, across))) or "in the middle"


def extent(box: coordinates.Box) -> str:
  """That a box takes little or much of the frame; "" for any other."""
  share = (box[2] - box[0]) * (box[3] - box[1]) / _SIZE**2
  if share < _SMALL:
    return ", a small part of the frame"
  return ", a large part of the frame" if share > _LARGE else ""

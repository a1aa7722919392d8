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
# Of more events than these only the times are told: else the words would outweigh
# the answer.
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
  """Sentences about events.

  One or two stand in the order in which they begin, each with where in the clip
  it lies; then whether they overlap. More of them stand in one sentence for each
  modality, with their times alone.

  Args:
    events: of the clip.
    length: of the clip, seconds; None: not known.
    modal: whether the answer tells what is seen from what is heard.
    spoken: gives the words of a label.
  """
  if not events:
    return "No event takes place."
  ordered = sorted(events, key=lambda event: (event.start, event.end))
  if len(ordered) <= _DETAILED:
    sentences = _in_detail(ordered, length, modal, spoken)
  else:
    sentences = _in_short(ordered, modal, spoken)
  return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _verb(event: intervals.Event, modal: bool) -> str:
  return _VERBS[event.modality] if modal else "takes place"


def _in_detail(
  ordered: Sequence[intervals.Event],
  length: float | None,
  modal: bool,
  spoken: Callable[[str], str],
) -> list[str]:
  """A sentence for each event, and one for two that overlap."""
  sentences = [
    f"{'Then ' if index else ''}{spoken(event.label)} {_verb(event, modal)} from"
    f" second {event.start:g} to {event.end:g}, {_when(event, length)}."
    for index, event in enumerate(ordered)
  ]
  one, other = ordered[0], ordered[-1]
  if one.label != other.label and other.start < one.end:
    sentences.append(
      f"For some time {spoken(one.label)} and {spoken(other.label)} go on"
      " together."
    )
  return sentences


def _in_short(
  ordered: Sequence[intervals.Event],
  modal: bool,
  spoken: Callable[[str], str],
) -> list[str]:
  """A sentence for each modality: names and times."""
  groups: dict[str, list[intervals.Event]] = {}
  for event in ordered:
    groups.setdefault(_verb(event, modal), []).append(event)
  sentences = []
  for verb, (first, *others) in groups.items():
    said = f"{spoken(first.label)} {verb} from second {first.start:g} to"
    parts = [f"{said} {first.end:g}"] + [
      f"{spoken(event.label)} from {event.start:g} to {event.end:g}"
      for event in others
    ]
    sentences.append(f"{', '.join(parts)}.")
  return sentences


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
  across = ("left", "", "right")[min(int(3 * x / _SIZE), 2)]
  down = ("upper", "", "lower")[min(int(3 * y / _SIZE), 2)]
  if across and down:
    return f"at the {down} {across}"
  if down:
    return "at the top" if down == "upper" else "at the bottom"
  return f"on the {across}" if across else "in the middle"


def extent(box: coordinates.Box) -> str:
  """That a box takes little or much of the frame; "" for any other."""
  share = (box[2] - box[0]) * (box[3] - box[1]) / _SIZE**2
  if share < _SMALL:
    return ", a small part of the frame"
  return ", a large part of the frame" if share > _LARGE else ""

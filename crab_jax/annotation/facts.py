"""What a label entails, as sentences: names, order, overlap, length in time.

Nothing is said that the row does not hold: no colours, no sounds but of the
events.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

_QUESTION_WORDS = 40
# Of more events than these no times are told: the answer tells them, and the words
# would outweigh it.
_DETAILED = 2
_VERBS = {
  "both": "is seen and heard",
  "visual": "is seen",
  "audio": "is heard",
}
_LEADS = {
  "both": "what is seen and heard is",
  "visual": "what is seen is",
  "audio": "what is heard is",
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
  it lies; then whether they overlap. Of more of them only the names are told.

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


def in_order(begins: Mapping[float, Sequence[str]]) -> str:
  """Names in the order of the seconds at which they begin."""
  return ", then ".join(map(joined, begins.values()))


def joined(names: Sequence[str]) -> str:
  """a, b and c."""
  *front, last = names
  return f"{', '.join(front)} and {last}" if front else last


def _in_detail(
  ordered: Sequence[intervals.Event],
  length: float | None,
  modal: bool,
  spoken: Callable[[str], str],
) -> list[str]:
  """A sentence for each event, and one for two that overlap."""
  sentences = []
  for event in ordered:
    lead = "Then " if event.start > ordered[0].start else ""
    verb = _VERBS[event.modality] if modal else "takes place"
    sentences.append(
      f"{lead}{spoken(event.label)} {verb} from second {event.start:g} to"
      f" {event.end:g}, {_when(event, length)}."
    )
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
  """What there is, in the order in which it begins: a sentence a modality."""
  begins: dict[str, dict[str, float]] = {}  # lead -> name -> its first second
  for event in ordered:
    lead = _LEADS[event.modality] if modal else "what takes place is"
    begins.setdefault(lead, {}).setdefault(spoken(event.label), event.start)
  sentences = []
  for lead, names in begins.items():
    together: dict[float, list[str]] = {}
    for name, start in names.items():
      together.setdefault(start, []).append(name)
    sentences.append(f"{lead} {in_order(together)}.")
  return sentences


def _when(event: intervals.Event, length: float | None) -> str:
  """Where in the clip an event lies."""
  lasts = event.end - event.start
  if length is None:
    return f"for {seconds(lasts)}"
  if is_whole(lasts, length):
    return "over the whole clip"
  middle = (event.start + event.end) / 2 / length
  part = ("at the beginning", "in the middle", "at the end")[
    min(int(middle * 3), 2)
  ]
  return f"{part} of the clip, for {seconds(lasts)}"


def is_whole(lasts: float, length: float | None) -> bool:
  """Whether an event goes on all the clip, as far as that is known."""
  return length is not None and lasts >= 0.95 * length


def seconds(count: float) -> str:
  """A number of seconds, in words."""
  return f"{count:g} second{'s' * (count != 1)}"


def of_place(truth: truths.Truth, spoken: Callable[[str], str] = plain) -> str:
  """A sentence about an object that has a place.

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
  # Not where: the box behind it says so. A tiny model that had to put the place in
  # words first learnt the names and no places (README.md).
  return f"What fits is {name}."

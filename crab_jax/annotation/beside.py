"""Events of a clip of which something else is asked, as sentences.

Told is what bears on the question: of the events that it names, whether each is
seen and heard; of others what there is of the sense that its type names.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from crab_jax.annotation import facts
from crab_jax.evaluation.reading import intervals

_SENSES = {"visual": "seen", "audio": "heard"}
_NUMBERS = (
  "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip
_SHORTEST = 3  # letters of a word that names an event
_COMMON = {
  "the", "and", "with", "for", "from", "are", "how", "many", "what", "which",
  "playing", "making", "doing", "using", "sound", "sounds", "person", "people",
}  # fmt: skip


def tell(
  events: Sequence[intervals.Event],
  length: float | None,
  spoken: Callable[[str], str],
  question: str = "",
  question_type: str = "",
) -> str:
  """Sentences about events; "" for none.

  Args:
    events: of the clip; if all are of both modalities, none is told.
    length: of the clip, seconds; None: not known.
    spoken: gives the words of a label.
    question: what is asked.
    question_type: "audio", "visual" or both words in it tell what it is about.
  """
  ordered = sorted(events, key=lambda event: (event.start, event.end))
  if not ordered:
    return ""
  named = _named(ordered, question, spoken)
  if all(event.modality == "both" for event in ordered):
    chosen = [e for e in ordered if not named or spoken(e.label) in named]
    return _listed("What takes place is", chosen, length, spoken)
  # Of a sense of which nothing was labelled nothing can be denied.
  found = {
    sense: own
    for sense in _SENSES
    if (own := [e for e in ordered if e.modality in (sense, "both")])
  }
  asked = [sense for sense in found if sense in question_type.lower()]
  if named:
    senses = {sense: found[sense] for sense in asked or found}
    return " ".join(_verdict(name, senses, length, spoken) for name in named)
  return _lists(found, asked, length, spoken)


def _named(
  events: Sequence[intervals.Event],
  question: str,
  spoken: Callable[[str], str],
) -> list[str]:
  """The events of which a question has a word, in the order of the question."""
  asked = _words(question)
  found = {}
  for name in dict.fromkeys(spoken(event.label) for event in events):
    words = {*_words(name)} - _COMMON
    places = [i for i, word in enumerate(asked) if word in words]
    if places:
      found[name] = places[0]
  return sorted(found, key=lambda name: found[name])


def _words(text: str) -> list[str]:
  """Words in small letters, of plurals the singular."""
  found = re.findall(r"\w+", text.lower())
  return [
    word[:-1] if word.endswith("s") and len(word) > _SHORTEST else word
    for word in found
    if len(word) >= _SHORTEST
  ]


def _verdict(
  name: str,
  senses: Mapping[str, Sequence[intervals.Event]],
  length: float | None,
  spoken: Callable[[str], str],
) -> str:
  """Whether something is seen and heard, and for how long, as a sentence."""
  parts = []
  for sense, events in senses.items():
    own = [event for event in events if spoken(event.label) == name]
    whole = own and facts.is_whole(max(map(_lasts, own)), length)
    word = _SENSES[sense]
    if not own:
      parts.append(f"not {word}")
    elif whole:
      parts.append(word)
    else:
      times = " and ".join(facts.seconds(_lasts(event)) for event in own)
      parts.append(f"{word} for {times}")
  parts.sort(key=lambda part: part.startswith("not "))  # "not" is of one part
  return f"{name[0].upper()}{name[1:]} is {' and '.join(parts)}."


def _lasts(event: intervals.Event) -> float:
  return event.end - event.start


def _lists(
  found: Mapping[str, Sequence[intervals.Event]],
  asked: Sequence[str],
  length: float | None,
  spoken: Callable[[str], str],
) -> str:
  """What is seen, what is heard, and what is both."""
  # Asked for both senses, what is seen and not heard bears on nothing.
  told = ["audio"] if len(asked) == len(_SENSES) else asked or [*found]
  sentences = [
    _listed(f"What is {_SENSES[sense]} is", found[sense], length, spoken)
    for sense in told
  ]
  if len(found) == len(_SENSES) and len(asked) != 1:
    heard = {spoken(event.label) for event in found["audio"]}
    seen = dict.fromkeys(spoken(event.label) for event in found["visual"])
    both = [name for name in seen if name in heard]
    sentences.append(
      f"What is both is {facts.joined(both)}, {_number(len(both))} in all."
      if both
      else "Nothing is both."
    )
  return " ".join(sentences)


def _listed(
  lead: str,
  ordered: Sequence[intervals.Event],
  length: float | None,
  spoken: Callable[[str], str],
) -> str:
  """What there is, and how many: behind the names, as a model counts what it says."""
  begins: dict[float, list[str]] = {}  # second -> names
  for event in ordered:
    lasts = _lasts(event)
    whole = facts.is_whole(lasts, length)
    times = "" if whole else f" for {facts.seconds(lasts)}"
    begins.setdefault(event.start, []).append(spoken(event.label) + times)
  count = _number(len({event.label for event in ordered}))
  return f"{lead} {facts.in_order(begins)}, {count} in all."


def _number(count: int) -> str:
  return _NUMBERS[count] if count < len(_NUMBERS) else str(count)

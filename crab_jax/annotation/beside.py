"""Events of a clip of which something else is asked, as sentences.

Told is what bears on the question: of the events that it names, whether each is
seen and heard; of others what there is of the sense that its type names. What is
heard is listed before any of it is judged: a model judges better by what it has said.
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
  "the", "and", "with", "for", "from", "are", "one", "there", "where", "that", "how",
  "many", "what", "which", "playing", "making", "doing", "using", "sound", "sounds",
  "person", "people",
}  # fmt: skip


def tell(
  events: Sequence[intervals.Event],
  length: float | None,
  spoken: Callable[[str], str],
  question: str = "",
  question_type: str = "",
  hint: str = "",
) -> str:
  """Sentences about events; "" for none.

  Args:
    events: of the clip; if all are of both modalities, none is told.
    length: of the clip, seconds; None: not known.
    spoken: gives the words of a label.
    question: what is asked.
    question_type: "audio", "visual" or both words in it tell what it is about.
    hint: said before; names what the question only describes, if both share a word.
  """
  ordered = sorted(events, key=lambda event: (event.start, event.end))
  if not ordered:
    return ""
  # Of a sense of which nothing was labelled nothing can be denied.
  found = {
    sense: own
    for sense in _SENSES
    if (own := [e for e in ordered if e.modality in (sense, "both")])
  }
  named = _named(ordered, question, spoken)
  if not named and _points({*_words(question)}, {*_words(hint)}):
    named = _named(ordered, hint, spoken)
  if all(event.modality == "both" for event in ordered):
    chosen = [e for e in ordered if not named or spoken(e.label) in named]
    return _listed("What takes place is", chosen, length, spoken)
  asked = [sense for sense in found if sense in question_type.lower()]
  if named:
    senses = {sense: found[sense] for sense in asked or found}
    sentences = [_verdict(name, senses, length, spoken) for name in named]
    if "audio" in senses:
      heard = _names(found["audio"], length, spoken)
      sentences.insert(0, f"What is heard is {heard}.")
    return " ".join(sentences)
  return _lists(found, asked, length, spoken)


def _points(question: set[str], hint: set[str]) -> bool:
  """Whether a hint tells which things a question means: "The red one is the drum"."""
  return bool((question & hint) - _COMMON)


def _named(
  events: Sequence[intervals.Event],
  text: str,
  spoken: Callable[[str], str],
) -> list[str]:
  """The events of which a text has a word, in the order of the text."""
  asked = _words(text)
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
  if len(asked) == len(_SENSES):
    # What is seen and not heard bears on nothing.
    heard = _names(found["audio"], length, spoken)
    return f"What is heard is {heard}. {_both(found, spoken)}"
  sentences = [
    _listed(f"What is {_SENSES[sense]} is", found[sense], length, spoken)
    for sense in asked or found
  ]
  if len(found) == len(_SENSES) and not asked:
    sentences.append(_both(found, spoken))
  return " ".join(sentences)


def _both(
  found: Mapping[str, Sequence[intervals.Event]], spoken: Callable[[str], str]
) -> str:
  """Of each name that is heard whether it is seen, and how many are."""
  seen = {spoken(event.label) for event in found["visual"]}
  heard = dict.fromkeys(spoken(event.label) for event in found["audio"])
  judged = [f"{name} is {'' if name in seen else 'not '}seen" for name in heard]
  count = _number(len(seen & {*heard}))
  return f"Of what is heard, {facts.joined(judged)}: {count} in all."


def _listed(
  lead: str,
  ordered: Sequence[intervals.Event],
  length: float | None,
  spoken: Callable[[str], str],
) -> str:
  """What there is, and how many: behind the names, as a model counts what it says."""
  count = _number(len({event.label for event in ordered}))
  return f"{lead} {_names(ordered, length, spoken)}, {count} in all."


def _names(
  ordered: Sequence[intervals.Event],
  length: float | None,
  spoken: Callable[[str], str],
) -> str:
  """Events in their order, each with how long it lasts."""
  begins: dict[float, list[str]] = {}  # second -> names
  for event in ordered:
    lasts = _lasts(event)
    whole = facts.is_whole(lasts, length)
    times = "" if whole else f" for {facts.seconds(lasts)}"
    begins.setdefault(event.start, []).append(spoken(event.label) + times)
  return facts.in_order(begins)


def _number(count: int) -> str:
  return _NUMBERS[count] if count < len(_NUMBERS) else str(count)

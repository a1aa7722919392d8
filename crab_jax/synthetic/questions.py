"""Questions about a scene: the templates of the two QA sets.

A question has a template (what is asked), words, an answer, and the reasoning
from what is seen and heard. Those of more than one modality cannot be
answered from one: an instrument in view may be silent, a sound may come from
outside the view, and the audio has neither colours nor positions.
"""

import collections
import dataclasses
import itertools

import numpy as np

from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import scenes

LONG, SHORT = 12, 4  # seconds of a long and of a short sound


@dataclasses.dataclass(frozen=True)
class Question:
  """A question about a scene, and its answer."""

  template: str
  modality: str  # "Audio", "Visual" or "Audio-Visual"
  kind: str  # "Counting", "Location", ...
  words: tuple[str, ...]  # phrasings
  answer: str
  fit: str  # how what is perceived leads to the answer
  named: str = ""  # what the question names, said before all else
  listed: str | None = None  # what is said of the scene; None: as modality
  stratum: int = 0  # answers are balanced within it, so it gives none away

  @property
  def key(self) -> tuple[str, int, str]:
    """What the choice of questions balances."""
    return self.template, self.stratum, self.answer


@dataclasses.dataclass(frozen=True)
class _View:
  """A scene as the questions see it."""

  things: tuple[scenes.Thing, ...]
  sounds: tuple[scenes.Sound, ...]  # in order of their beginnings

  def thing(self, name: str) -> scenes.Thing:
    """The instrument in view of that name, which there must be."""
    return next(thing for thing in self.things if thing.name == name)

  def sees(self, name: str) -> bool:
    return any(thing.name == name for thing in self.things)

  def hears(self, name: str) -> bool:
    return any(sound.name == name for sound in self.sounds)

  @property
  def shared(self) -> list[scenes.Sound]:
    """The sounds of instruments in view."""
    return [s for s in self.sounds if self.sees(s.name)]


def pick(
  rng: np.random.Generator,
  candidates: list[Question],
  used: collections.Counter,
  wanted: int,
) -> list:
  """The questions whose template, stratum and answer came least so far.

  Args:
    rng: breaks ties.
    candidates: questions about one scene.
    used: how often each `key` was asked; updated.
    wanted: questions, of different templates.
  """
  answers = collections.Counter(key[0] for key in used)

  def asked(question) -> int:  # were all answers of its template like it
    return used[question.key] * answers[question.template]

  chosen: dict[str, Question] = {}
  for question in attributes.shuffled(rng, candidates):
    best = chosen.get(question.template)
    if best is None or asked(question) < asked(best):
      chosen[question.template] = question
  ranked = sorted(chosen.values(), key=asked)
  for question in ranked[:wanted]:
    used[question.key] += 1
  return ranked[:wanted]


def view(scene: scenes.Scene) -> _View:
  return _View(scene.things, by_start(scene.sounds))


def by_start(sounds) -> tuple[scenes.Sound, ...]:
  return tuple(sorted(sounds, key=lambda sound: sound.start))


def length_word(sound: scenes.Sound) -> str:
  return "long" if sound.end - sound.start > (LONG + SHORT) / 2 else "short"


def reasons(question: Question, style, things, heard: list[str]) -> str:
  """The text of an answer: the question's own words, the scene, the answer.

  Args:
    question: which is answered.
    style: of phrasing.
    things: in view.
    heard: the sounds, each with its article, in order.
  """
  listed = question.modality if question.listed is None else question.listed
  sentences = [
    question.named,
    phrasing.perceived(style, things, heard, listed),
    f"{question.fit}, {style.hence} {phrasing.answer(question.answer)}.",
  ]
  return " ".join(sentence for sentence in sentences if sentence)


def yes_no(value: bool) -> str:
  return "yes" if value else "no"


def about(scene: scenes.Scene) -> list[Question]:
  """All the questions that MUSIC-AVQA would ask of a scene."""
  seen = view(scene)
  return [
    *_counts(seen),
    *_places(seen),
    *_heard(seen),
    *_longer(seen),
    *_longer_in_view(seen),
    *_order(seen),
  ]


def _counts(seen: _View):
  heard, shared = len(seen.sounds), len(seen.shared)
  yield Question(
    "how many heard",
    "Audio",
    "Counting",
    (
      "How many instruments do you hear?",
      "How many instruments sound?",
      "What is the number of sounds?",
    ),
    attributes.NUMBERS[heard],
    f"The sounds are {attributes.NUMBERS[heard]}",
    stratum=len(seen.things),
  )
  yield Question(
    "how many seen",
    "Visual",
    "Counting",
    (
      "How many instruments do you see?",
      "How many instruments are in view?",
      "What is the number of instruments in view?",
    ),
    attributes.NUMBERS[len(seen.things)],
    f"In view are {attributes.NUMBERS[len(seen.things)]}",
    stratum=heard,
  )
  if len(seen.things) < 2:
    return
  judged = [
    f"the {thing.name} {phrasing.verdict(seen.hears(thing.name))}"
    for thing in seen.things
  ]
  yield Question(
    "how many in view sound",
    "Audio-Visual",
    "Counting",
    (
      "How many instruments in view sound?",
      "How many instruments do you both see and hear?",
      "How many of the instruments in view are heard?",
    ),
    attributes.NUMBERS[shared],
    f"In view are {phrasing.join(judged)}",
    stratum=heard,
    listed="Audio",
  )


def _places(seen: _View):
  for thing in seen.things:
    yield Question(
      "where is",
      "Visual",
      "Location",
      (
        f"Where is the {thing.name}?",
        f"Where do you see the {thing.name}?",
        f"At which place is the {thing.name}?",
      ),
      thing.quarter,
      f"In view is the {thing.name} {thing.quarter}",
      listed="",
    )


def _heard(seen: _View):
  if len(seen.things) < 2:
    return
  for thing in seen.things:
    heard = seen.hears(thing.name)
    yield Question(
      "is it heard",
      "Audio-Visual",
      "Existential",
      (
        f"Do you hear the {thing.colour} instrument?",
        f"Does the {thing.colour} instrument sound?",
        f"Is the {thing.colour} instrument heard?",
      ),
      yes_no(heard),
      f"The {thing.colour} one is the {thing.name} {phrasing.verdict(heard)}",
      stratum=len(seen.sounds),
      listed="Audio",
    )


def _pairs(sounds):
  """Ordered pairs of a long and a short sound, both ways."""
  for first, second in itertools.permutations(sounds, 2):
    if length_word(first) != length_word(second):
      yield first, second


def _longer_fit(first, second) -> str:
  return (
    f"The {first.name} is {length_word(first)} and the {second.name}"
    f" {length_word(second)}"
  )


def _longer(seen: _View):
  for first, second in _pairs(seen.sounds):
    yield Question(
      "longer",
      "Audio",
      "Comparative",
      (
        f"Does the {first.name} sound longer than the {second.name}?",
        f"Is the {first.name} longer than the {second.name}?",
        f"Do you hear the {first.name} longer than the {second.name}?",
      ),
      yes_no(length_word(first) == "long"),
      _longer_fit(first, second),
    )


def _longer_in_view(seen: _View):
  for first, second in _pairs(seen.shared):
    one, other = seen.thing(first.name).colour, seen.thing(second.name).colour
    yield Question(
      "longer in view",
      "Audio-Visual",
      "Comparative",
      (
        f"Does the {one} instrument sound longer than the {other} one?",
        f"Is the {one} instrument longer than the {other} one?",
        f"Do you hear the {one} instrument longer than the {other} one?",
      ),
      yes_no(length_word(first) == "long"),
      _longer_fit(first, second),
      named=f"The {one} one is the {first.name}, the {other} one the"
      f" {second.name}.",
      listed="Audio",
    )


def _order(seen: _View):
  if len(seen.shared) < 2:
    return
  for when, sound in (("first", seen.shared[0]), ("last", seen.shared[-1])):
    thing = seen.thing(sound.name)
    yield Question(
      "where first or last",
      "Audio-Visual",
      "Location",
      (
        f"Where is the instrument in view that sounds {when}?",
        f"At which place is the instrument that sounds {when}?",
        f"Where do you see the instrument that sounds {when}?",
      ),
      thing.quarter,
      f"In view {when} sounds the {thing.name} {thing.quarter}",
    )
    yield Question(
      "colour first or last",
      "Audio-Visual",
      "Temporal",
      (
        f"Which colour is the instrument in view that sounds {when}?",
        f"Which colour sounds {when}?",
        f"What is the colour of the instrument that sounds {when}?",
      ),
      thing.colour,
      f"In view {when} sounds the {thing.name}, it is {thing.colour}",
    )

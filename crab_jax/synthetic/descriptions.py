"""A scene in plain prose: what is seen, what is heard, questions about it.

The words are those of the sets, so that what is learnt of them carries over;
tags, boxes and the sets' intervals are not among them. Answers to questions say
what they follow from, and then repeat the point "in short": without that, a tiny
model tuned to answer named the right thing and repeated another.
"""

from collections.abc import Iterator

import numpy as np

from crab_jax.synthetic import clips
from crab_jax.synthetic import emotion
from crab_jax.synthetic import localization
from crab_jax.synthetic import music
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

Content = scenes.Scene | scenes.Face


def described(rng: np.random.Generator, scene: Content) -> str:
  """All that is seen and heard, in two sentences; of a face its mood too."""
  style = phrasing.style(rng)
  said = f"{style.sight} {seen(scene)}. {style.hearing} {heard(scene)}."
  return f"{said} {_mood(scene)}" if isinstance(scene, scenes.Face) else said


def _mood(face: scenes.Face) -> str:
  return f"The mood is {emotion.emotion_of(face)}."


def seen(scene: Content) -> str:
  """What a scene shows: "a red drum northwest that plays from 2 to 5"."""
  if isinstance(scene, scenes.Face):
    return f"{phrasing.a(scene.colour)} face with {phrasing.a(scene.mouth)}"
  return phrasing.join([_thing(it, scene.seconds) for it in scene.things])


def judged(scene: scenes.Scene) -> str:
  """What a picture shows, each thing with whether it sounds."""
  names = {sound.name for sound in scene.sounds}
  return phrasing.join(
    [
      f"{phrasing.thing(it)} that"
      f" {'sounds' if it.name in names else 'is silent'}"
      for it in scene.things
    ]
  )


def _thing(thing: scenes.Thing, seconds: int) -> str:
  words = phrasing.thing(thing)
  if thing.name == scenes.DANCER:
    words += f" that is {thing.motion}"
  for span in thing.spans:
    if span != (0, seconds):
      words += f" that plays {localization.span_words(span)}"
  return words


def heard(scene: Content) -> str:
  """What a scene sounds like: "a drum from 2 to 5, then a horn from 6 to 9"."""
  if isinstance(scene, scenes.Face):
    return f"{phrasing.a(scene.voice)} voice"
  return ", then ".join(
    _sound(it, scene.seconds) for it in questions.by_start(scene.sounds)
  )


def _sound(sound: scenes.Sound, seconds: int) -> str:
  span = sound.start, sound.end
  if span == (0, seconds):
    return phrasing.a(sound.name)
  if seconds == music.SECONDS:
    return f"a {questions.length_word(sound)} {sound.name}"
  return f"a {sound.name} {localization.span_words(span)}"


def questions_of(scene: Content) -> Iterator[tuple[str, str]]:
  """Plain questions and their answers, as (question, answer)."""
  if isinstance(scene, scenes.Face):
    yield "Which expression has the face?", f"{phrasing.a(scene.mouth)}."
    yield "How does the voice sound?", f"{phrasing.a(scene.voice)} voice."
    signs = f"{phrasing.a(scene.mouth)}, {phrasing.a(scene.voice)} voice"
    mood = emotion.emotion_of(scene)
    yield (
      "Which mood do face and voice tell?",
      _short(f"{signs}. The mood is {mood}", mood),
    )
    return
  yield "What do you hear?", f"{heard(scene)}."
  yield from _compared(scene)
  yield from _ordered(scene)
  yield from _met(scene)
  yield "What do you see?", f"{seen(scene)}."
  for thing in scene.things:
    the = f"the {thing.name}"
    for question, said, answer in (
      (f"Which colour is {the}?", f"{the} is", thing.colour),
      (f"Where is {the}?", f"{the} is", thing.quarter),
      (f"What is {thing.colour}?", f"the {thing.colour} one is", the),
      (f"What is {thing.quarter}?", f"{thing.quarter} is", the),
    ):
      yield question, _short(f"{said} {answer}", answer)
    if thing.name == scenes.DANCER:
      said = _short(f"{the} is {thing.motion}", thing.motion)
      yield f"What does {the} do?", said
    yield from _when(f"When do you see {the} play?", thing.spans, scene.seconds)
  if scene.seconds != music.SECONDS:
    for sound in scene.sounds:
      span = ((sound.start, sound.end),)
      yield from _when(
        f"When do you hear the {sound.name}?", span, scene.seconds
      )


def _short(said: str, answer: str) -> str:
  """What is said, and the answer once more."""
  return f"{said}, in short {answer}."


def _ordered(scene: scenes.Scene) -> Iterator[tuple[str, str]]:
  """The first and the last of several sounds: which, its colour, its place."""
  sounds = questions.by_start(scene.sounds)
  if len(sounds) < 2:
    return
  names = ", then ".join(phrasing.a(sound.name) for sound in sounds)
  things = {thing.name: thing for thing in scene.things}
  for which, sound in (("first", sounds[0]), ("last", sounds[-1])):
    the = f"the {sound.name}"
    said = f"{names}, the {which} is {the}"
    yield f"What do you hear {which}?", _short(said, the)
    if sound.name in things:
      thing = things[sound.name]
      for question, answer in (
        (f"Which colour is what you hear {which}?", thing.colour),
        (f"Where is what you hear {which}?", thing.quarter),
      ):
        yield question, _short(f"{said}, {the} is {answer}", answer)


def _met(scene: scenes.Scene) -> Iterator[tuple[str, str]]:
  """When an instrument in view is heard as well as seen to play."""
  things = clips.instruments(scene)
  if not all(thing.spans for thing in things):  # at rest
    return
  for event in clips.events(scene):
    if event.seen == (0, scene.seconds):
      continue
    the = f"the {event.thing.name}"
    seen, heard, both = map(
      localization.span_words, (event.seen, event.heard, event.span)
    )
    yield (
      f"When do you both see and hear {the}?",
      _short(f"{the} is seen {seen} and heard {heard}, both {both}", both),
    )


def _when(question: str, spans, seconds: int) -> Iterator[tuple[str, str]]:
  for span in spans:
    if span != (0, seconds):
      yield question, f"{localization.span_words(span)}."


def _compared(scene: scenes.Scene) -> Iterator[tuple[str, str]]:
  """What sight and sound say of each instrument together."""
  names = {sound.name for sound in scene.sounds}
  for thing in scene.things:
    if thing.name == scenes.DANCER:
      continue
    sounds = thing.name in names
    said = (
      f"the {thing.colour} {thing.name} {'sounds' if sounds else 'is silent'}"
    )
    for the in (f"the {thing.name}", f"the {thing.colour} one"):
      yield f"Does {the} sound?", _short(said, phrasing.verdict(sounds))
      yield f"Is {the} silent?", _short(said, phrasing.verdict(not sounds))
  seen = [f"the {it.name}" for it in scene.things if it.name in names]
  both = phrasing.join(seen) if seen else "nothing"
  yield "What do you both see and hear?", f"{both}."

"""A scene in plain prose: what is seen, what is heard, questions about it.

The words are those of the sets, so that what is learnt of them carries over;
tags, boxes and the sets' intervals are not among them.
"""

from collections.abc import Iterator

import numpy as np

from crab_jax.synthetic import localization
from crab_jax.synthetic import music
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

Content = scenes.Scene | scenes.Face


def described(rng: np.random.Generator, scene: Content) -> str:
  """All that is seen and heard, in two sentences."""
  style = phrasing.style(rng)
  return f"{style.sight} {seen(scene)}. {style.hearing} {heard(scene)}."


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
    return
  yield "What do you hear?", f"{heard(scene)}."
  yield from _compared(scene)
  yield "What do you see?", f"{seen(scene)}."
  for thing in scene.things:
    the = f"the {thing.name}"
    yield f"Which colour is {the}?", f"{the} is {thing.colour}."
    yield f"Where is {the}?", f"{the} is {thing.quarter}."
    if thing.name == scenes.DANCER:
      yield f"What does {the} do?", f"{the} is {thing.motion}."
    yield from _when(f"When do you see {the} play?", thing.spans, scene.seconds)
  if scene.seconds != music.SECONDS:
    for sound in scene.sounds:
      span = ((sound.start, sound.end),)
      yield from _when(
        f"When do you hear the {sound.name}?", span, scene.seconds
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
    sounds = "sounds" if thing.name in names else "is silent"
    for the in (f"the {thing.name}", f"the {thing.colour} one"):
      yield f"Does {the} sound?", f"the {thing.colour} {thing.name} {sounds}."
  seen = [f"the {it.name}" for it in scene.things if it.name in names]
  both = phrasing.join(seen) if seen else "nothing"
  yield "What do you both see and hear?", f"{both}."

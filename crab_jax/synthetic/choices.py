"""avqa_thu: multiple choice with four options.

A clip of 10 s shows two or three instruments that all beat all the time; one
or two of them are heard, one after the other. The options include what the
frames alone and what the audio alone suggest.
"""

import collections
import dataclasses
import itertools

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

SECONDS = 10
_A_CLIP = 2  # questions
_THREE = 0.3  # share of the clips with three instruments in view
_RELATIONS = {"Audio-Visual": "Both", "Visual": "View", "Audio": "Sound"}


@dataclasses.dataclass(frozen=True)
class Choice(questions.Question):
  """A question with options."""

  wrong: tuple[str, ...] = ()  # options that must appear
  fill: tuple[str, ...] = ()  # options to fill up with


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """Two questions a clip."""
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  used: collections.Counter[tuple] = collections.Counter()
  clip = 0
  while len(out.records) < count:
    scene = _scene(rng, split)
    name = f"{split}_{clip:04d}"
    out.add_clip(scene, task.name, f"{name}.mp4", f"{name}.mp3")
    wanted = min(_A_CLIP, count - len(out.records))
    for choice in questions.pick(rng, list(_about(scene)), used, wanted):
      _add(out, rng, split, name, scene, choice)
    clip += 1
  return out


def _scene(rng: np.random.Generator, split: str) -> scenes.Scene:
  """Two or three instruments in view, one or two of them heard."""
  names = scenes.instruments(rng, 3 if rng.random() < _THREE else 2)
  things = tuple(
    dataclasses.replace(thing, spans=((0, SECONDS),))
    for thing in scenes.arrange(rng, split, names)
  )
  sounds: tuple[scenes.Sound, ...]
  if rng.random() < 0.6:
    sounds = (scenes.Sound(names[0], 0, SECONDS),)
  else:
    cut = int(rng.integers(4, 7))
    sounds = (
      scenes.Sound(names[0], 0, cut),
      scenes.Sound(names[1], cut, SECONDS),
    )
  return scenes.scene(rng, SECONDS, things, sounds)


def _about(scene: scenes.Scene):
  """The choices that a scene offers."""
  things = {thing.name: thing for thing in scene.things}
  yield from _seen(scene.things)
  if len(scene.sounds) == 1:
    yield from _only(scene.things, things[scene.sounds[0].name])
  else:
    for when, sound in zip(("first", "last"), scene.sounds, strict=True):
      yield _ordered(scene.things, things[sound.name], when)


def _seen(things):
  for thing in things:
    yield Choice(
      "which is of a colour",
      "Visual",
      "Happening",
      (
        f"Which instrument is {thing.colour}?",
        f"Which {thing.colour} instrument is in view?",
        f"What is the {thing.colour} instrument?",
      ),
      thing.name,
      f"The {thing.colour} one is the {thing.name}",
      listed="",
      wrong=tuple(t.name for t in things if t != thing),
      fill=attributes.INSTRUMENTS,
    )


def _only(things, thing: scenes.Thing):
  """Choices about the only instrument that sounds."""
  rest = [t for t in things if t != thing]
  yield Choice(
    "which is heard",
    "Audio",
    "Happening",
    (
      "Which instrument do you hear?",
      "Which instrument sounds?",
      "What makes the sound?",
    ),
    thing.name,
    f"It is the {thing.name}",
    wrong=tuple(t.name for t in rest),
    fill=attributes.INSTRUMENTS,
  )
  yield Choice(
    "colour of the heard",
    "Audio-Visual",
    "Which",
    (
      "Which colour is the instrument that sounds?",
      "Which colour is the instrument that you hear?",
      "What is the colour of the instrument that sounds?",
    ),
    thing.colour,
    f"The {thing.name} is {thing.colour}",
    listed="Audio",
    wrong=tuple(t.colour for t in rest),
    fill=attributes.COLOURS,
  )
  yield Choice(
    "place of the heard",
    "Audio-Visual",
    "Where",
    (
      "Where is the instrument that sounds?",
      "Where is the instrument that you hear?",
      "At which place is the instrument that sounds?",
    ),
    thing.quarter,
    f"In view is the {thing.name} {thing.quarter}",
    listed="Audio",
    wrong=tuple(t.quarter for t in rest),
    fill=attributes.QUARTERS,
  )
  yield _source(things, thing)


def _source(things, thing: scenes.Thing) -> Choice:
  """Options cross the colours and the names of two things."""
  other = next(t for t in things if t != thing)
  pairs = itertools.product(
    (thing.colour, other.colour), (thing.name, other.name)
  )
  options = [f"{colour} {name}" for colour, name in pairs]
  return Choice(
    "source",
    "Audio-Visual",
    "Come From",
    (
      "Where does the sound come from?",
      "What does the sound come from?",
      "From what do you hear the sound?",
    ),
    f"{thing.colour} {thing.name}",
    f"The {thing.name} is {thing.colour}",
    listed="Audio",
    wrong=tuple(options[1:]),
  )


def _ordered(things, thing: scenes.Thing, when: str) -> Choice:
  return Choice(
    "colour first or last",
    "Audio-Visual",
    "Before Next",
    (
      f"Which colour is the instrument that sounds {when}?",
      f"Which colour sounds {when}?",
      f"What is the colour of the instrument that sounds {when}?",
    ),
    thing.colour,
    f"The {when} is the {thing.name}, it is {thing.colour}",
    listed="Audio",
    wrong=tuple(t.colour for t in things if t != thing),
    fill=attributes.COLOURS,
  )


def _options(rng: np.random.Generator, choice: Choice) -> list[str]:
  """Four different options in random order."""
  options = [choice.answer, *choice.wrong]
  spare = attributes.shuffled(
    rng, [option for option in choice.fill if option not in options]
  )
  return attributes.shuffled(rng, [*options, *spare][:4])


def _add(out, rng, split, name, scene, choice: Choice) -> None:
  words = attributes.choose(rng, choice.words)
  options = _options(rng, choice)
  number = len(out.records)
  record = {
    "id": number,
    "video_name": name,
    "video_id": int(name.split("_")[1]),
    "video_path": f"{name}.mp4",
    "audio_path": f"{name}.mp3",
    "question_text": words,
    "multi_choice": options,
    "answer": choice.answer,
    "question_relation": _RELATIONS[choice.modality],
    "question_type": choice.kind,
  }
  if split != "test":
    record["label"] = questions.reasons(
      choice,
      phrasing.style(rng),
      scene.things,
      [phrasing.a(sound.name) for sound in scene.sounds],
    )
  out.add(
    record,
    answer=choice.answer,
    question=f"{words} {options}",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(scene.sounds),
    held_out=any(thing.held_out for thing in scene.things),
  )

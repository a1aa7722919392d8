"""avqa_thu: multiple choice with four options.

Of the two instruments in view one or both are heard (`clips`). The options include
what the frames alone and what the audio alone suggest.
"""

import collections
import dataclasses
import itertools

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import clips
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

_A_CLIP = 2  # questions
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
    wanted = min(_A_CLIP, count - len(out.records))
    add(out, rng, task, split, clip, clips.scene(rng, split), used, wanted)
    clip += 1
  return out


def add(out, rng, task, split, clip, scene, used, wanted) -> None:
  """Adds a scene of `clips` with so many questions; see `questions.pick`."""
  name = f"{split}_{clip:04d}"
  out.add_clip(scene, task.name, f"{name}.mp4", f"{name}.mp3")
  for choice in questions.pick(rng, list(_about(scene)), used, wanted):
    _add(out, rng, split, name, scene, choice)


def _about(scene: scenes.Scene):
  """The choices that a scene offers."""
  things = clips.instruments(scene)
  found = [event.thing for event in clips.events(scene)]
  yield from _seen(things)
  for when, sound in zip(("first", "last"), scene.sounds, strict=True):
    yield _heard(things, scene.sounds, sound, when)
  if len(found) == 1:
    yield from _only(things, found[0])
  else:
    for when, thing in zip(("first", "last"), found, strict=True):
      yield _ordered(things, thing, when)


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


def _heard(things, sounds, sound, when: str) -> Choice:
  wrong = [it.name for it in (*sounds, *things) if it.name != sound.name]
  return Choice(
    "which is heard",
    "Audio",
    "Happening",
    (
      f"Which instrument do you hear {when}?",
      f"Which instrument sounds {when}?",
      f"What makes the sound that is {when}?",
    ),
    sound.name,
    f"The {when} is the {sound.name}",
    wrong=tuple(dict.fromkeys(wrong)),
    fill=attributes.INSTRUMENTS,
  )


def _only(things, thing: scenes.Thing):
  """Choices about the only instrument in view that sounds."""
  rest = [t for t in things if t != thing]
  yield Choice(
    "colour of the heard",
    "Audio-Visual",
    "Which",
    (
      "Which colour is the instrument in view that sounds?",
      "Which colour is the instrument that you see and hear?",
      "What is the colour of the instrument in view that sounds?",
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
      "Where is the instrument in view that sounds?",
      "Where is the instrument that you see and hear?",
      "At which place is the instrument in view that sounds?",
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
      "Where in view does a sound come from?",
      "What in view does a sound come from?",
      "From what in view do you hear a sound?",
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
  if not tasks.is_test(split):
    record["label"] = questions.reasons(
      choice,
      phrasing.style(rng),
      clips.instruments(scene),
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

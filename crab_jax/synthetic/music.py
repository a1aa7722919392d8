"""avqa: open questions of MUSIC-AVQA's nine types, several a clip.

A clip lasts 20 s, as the windows of this dataset are sixtieths of the clip:
ten windows of two thirds of a second. Sounds begin at different times and
are long or short. Instruments in view beat all the time, whether or not they
are heard: the frames do not say when or whether they sound.
"""

import collections
import dataclasses
import json

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

SECONDS = 20
_A_CLIP = 4  # questions
_LENGTHS = (questions.LONG, questions.SHORT)  # seconds of a sound
_SEEN_SHARES = (0.2, 0.5, 0.3)  # of one, two, three instruments in view
_HEARD_SHARES = (0.3, 0.45, 0.25)  # of one, two, three sounds


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """Several questions a clip, the answers of each template in balance."""
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  used: collections.Counter[tuple] = collections.Counter()
  clip = 0
  while len(out.records) < count:
    wanted = min(_A_CLIP, count - len(out.records))
    add(out, rng, task, split, clip, scene_of(rng, split), used, wanted)
    clip += 1
  return out


def add(out, rng, task, split, clip, scene, used, wanted) -> None:
  """Adds a scene with so many questions; see `questions.pick`."""
  files = f"{split}_{clip:04d}.mp4", f"{split}_{clip:04d}.mp3"
  out.add_clip(scene, task.name, *files)
  for question in questions.pick(rng, questions.about(scene), used, wanted):
    _add(out, rng, split, files, scene, question)


def scene_of(rng: np.random.Generator, split: str) -> scenes.Scene:
  """One to three instruments in view, one to three sounds."""
  seen = 1 + int(rng.choice(3, p=_SEEN_SHARES))
  names = scenes.instruments(rng, seen)
  return scene_with(rng, scenes.arrange(rng, split, names), names)


def scene_with(rng: np.random.Generator, things, names) -> scenes.Scene:
  """A scene that shows these things, whose names are in random order."""
  seen = len(things)
  things = tuple(
    dataclasses.replace(thing, spans=((0, SECONDS),)) for thing in things
  )
  count = 1 + int(rng.choice(3, p=_HEARD_SHARES))
  shared = int(rng.integers(max(0, count - 2), min(seen, count) + 1))
  outside = scenes.others(rng, names)[: count - shared]
  heard = attributes.shuffled(rng, [*names[:shared], *outside])
  spans = _spans(rng, count)
  sounds = tuple(
    scenes.Sound(name, *span) for name, span in zip(heard, spans, strict=True)
  )
  return scenes.scene(rng, SECONDS, things, sounds)


def _spans(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
  """Spans with different beginnings; of two or more not all are as long."""
  lengths = [questions.LONG, questions.SHORT, attributes.choose(rng, _LENGTHS)]
  while True:
    order = attributes.shuffled(rng, lengths[:2]) + lengths[2:]
    starts = attributes.shuffled(rng, range(0, SECONDS, questions.SHORT))
    spans = [
      (start, start + length)
      for start, length in zip(starts, order[:count], strict=False)
    ]
    if all(end <= SECONDS for _, end in spans):
      return attributes.shuffled(rng, spans)


def _add(out, rng, split, files, scene, question: questions.Question) -> None:
  words = attributes.choose(rng, question.words)
  record = {
    "video_path": files[0],
    "audio_path": files[1],
    "video_id": files[0].removesuffix(".mp4"),
    "question_id": len(out.records),
    "type": json.dumps([question.modality, question.kind]),
    "question": words,
    "answer": question.answer,
  }
  if not tasks.is_test(split):
    sounds = questions.by_start(scene.sounds)
    record["label"] = questions.reasons(
      question,
      phrasing.style(rng),
      scene.things,
      [f"a {questions.length_word(s)} {s.name}" for s in sounds],
    )
  out.add(
    record,
    answer=question.answer,
    question=words,
    sight=scenes.sight(scene.things),
    hearing=_hearing(scene),
    held_out=any(thing.held_out for thing in scene.things),
  )


def _hearing(scene: scenes.Scene) -> list[str]:
  """What is known from the audio alone, with the lengths of the sounds."""
  lengths = [f"{questions.length_word(s)} {s.name}" for s in scene.sounds]
  return scenes.hearing(scene.sounds) + lengths

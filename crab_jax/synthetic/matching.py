"""Matching: which of two candidates goes with the other modality.

Both directions draw from one pool of clips, in each of which one instrument
plays and is heard. The candidates are two different instruments; the answer
is their number, 1 or 2, and needs the audio for one side and the frames for
the other.
"""

import dataclasses

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_SECONDS = 10


def scene_of(
  rng: np.random.Generator, split: str, name: str, take: int
) -> scenes.Scene:
  """One instrument that plays for five to eight seconds."""
  (thing,) = scenes.arrange(rng, split, (name,))
  return scene_with(rng, thing, take)


def scene_with(
  rng: np.random.Generator, thing: scenes.Thing, take: int
) -> scenes.Scene:
  length = int(rng.integers(5, 9))
  start = int(rng.integers(0, _SECONDS - length + 1))
  span = (start, start + length)
  thing = dataclasses.replace(thing, spans=(span,))
  sounds = (scenes.Sound(thing.name, *span),)
  return scenes.scene(rng, _SECONDS, (thing,), sounds, take)


def _pool(split: str, count: int, seed: int) -> list[scenes.Scene]:
  """Clips of both directions; the instruments take turns."""
  rng = attributes.generator(seed, "matching", split)
  size = max(count // 2, 2 * len(attributes.INSTRUMENTS))
  names = [
    attributes.INSTRUMENTS[i % len(attributes.INSTRUMENTS)] for i in range(size)
  ]
  take = scenes.solo_take(seed, split)
  return [scene_of(rng, split, name, take) for name in names]


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """a2v: one audio, two videos. v2a: one video, two audios."""
  rng = attributes.generator(seed, task.name, split)
  return of_pool(rng, task, split, count, _pool(split, count, seed))


def of_pool(rng, task: tasks.Task, split: str, count: int, pool) -> plans.Plan:
  """Records of the clips of a pool in turn, each with another one of it."""
  files = [f"{split}_{i:04d}" for i in range(len(pool))]
  out = plans.Plan()
  for row in range(count):
    first = row % len(pool)
    name = pool[first].things[0].name
    wrong = [i for i, s in enumerate(pool) if s.things[0].name != name]
    pair = [first, attributes.choose(rng, wrong)]
    correct = 1 + int(rng.integers(2))
    pair = pair if correct == 1 else pair[::-1]
    _add(out, task, split, rng, pool, files, first, pair, correct)
  for name, scene in zip(files, pool, strict=True):
    out.add_clip(scene, task.name, f"{name}.mp4", f"{name}.mp3")
  return out


def _add(out, task, split, rng, pool, files, first, pair, correct) -> None:
  """Adds one record: `first` is what is given, `pair` the candidates."""
  given, things = pool[first].things[0], [pool[i].things[0] for i in pair]
  one, many = ("audio", "video") if task.name == "a2v" else ("video", "audio")
  suffix = {"audio": "mp3", "video": "mp4"}
  record = {f"{one}_path": f"{files[first]}.{suffix[one]}"}
  for number, i in enumerate(pair, 1):
    record[f"{many}{number}_path"] = f"{files[i]}.{suffix[many]}"
  record[f"correct_{many}"] = correct
  if not tasks.is_test(split):
    record["label"] = _target(
      phrasing.style(rng), task.name, given, things, correct
    )
    record["label"] += f" {phrasing.answer(correct)}."
    record[f"{one}_event"] = given.name
    for number, thing in enumerate(things, 1):
      record[f"{many}{number}_event"] = thing.name
  seen, heard = ([given], things) if one == "video" else (things, [given])
  out.add(
    record,
    answer=correct,
    question="",
    sight=[f"{n} {t.colour} {t.name}" for n, t in enumerate(seen, 1)]
    + [f"{n} {t.name}" for n, t in enumerate(seen, 1)],
    hearing=[f"{n} {t.name}" for n, t in enumerate(heard, 1)],
    held_out=any(t.held_out for t in seen),
  )


def _target(style, task: str, given, things, correct: int) -> str:
  """The reasoning up to the answer.

  Each candidate is judged where it is named; a yes has the number with it.
  """
  verdicts = [
    phrasing.verdict(number == correct)
    + (f" {number}" if number == correct else "")
    for number in (1, 2)
  ]
  if task == "a2v":
    known = f"{style.hearing} {phrasing.a(given.name)}"
    choice = [
      f"{phrasing.coloured(thing)} {verdict}"
      for thing, verdict in zip(things, verdicts, strict=True)
    ]
    found = style.sight
  else:
    known = f"{style.sight} {phrasing.a(given.colour)} {given.name}"
    choice = [
      f"{phrasing.a(thing.name)} {verdict}"
      for thing, verdict in zip(things, verdicts, strict=True)
    ]
    found = style.hearing
  return f"{known}. {found} {phrasing.join(choice)}, {style.hence}"

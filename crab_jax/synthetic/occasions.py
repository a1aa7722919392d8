"""Held-out scenes that every set asks about, each in its own layout.

An occasion has two instruments and a person. The sets of clips get one and the
same film of it; those of pictures a still of its instruments with the sound of
the one that is both seen and heard; those of faces a close-up of the person; avqa
a longer film of the same instruments; matching a film of the one alone.

Row i of every set is occasion i. Beside its reference a record has "facts": what
its answer must agree on with those of other sets (`facts`).
"""

import collections
import dataclasses
import json

from crab_jax.data import tasks
from crab_jax.synthetic import action
from crab_jax.synthetic import attributes
from crab_jax.synthetic import captioning
from crab_jax.synthetic import choices
from crab_jax.synthetic import clips
from crab_jax.synthetic import emotion
from crab_jax.synthetic import localization
from crab_jax.synthetic import matching
from crab_jax.synthetic import music
from crab_jax.synthetic import plans
from crab_jax.synthetic import reference
from crab_jax.synthetic import scenes
from crab_jax.synthetic import segmentation


@dataclasses.dataclass(frozen=True)
class Occasion:
  """One scene in the layouts of all sets."""

  clip: scenes.Scene
  film: scenes.Scene  # of avqa
  solo: scenes.Scene  # of matching
  still: scenes.Scene
  turns: scenes.Scene  # the still, with the sound of another after it
  described: scenes.Scene  # the still, for as long as Ref-AVS has it
  face: scenes.Face

  @property
  def event(self) -> clips.Event:
    return clips.events(self.clip)[0]


def draw(count: int, seed: int) -> list[Occasion]:
  """The occasions; the instruments of their events take turns."""
  rng = attributes.generator(seed, "occasions", tasks.UNIFIED)
  take = scenes.solo_take(seed, tasks.UNIFIED)
  names = attributes.INSTRUMENTS
  return [_one(rng, names[row % len(names)], take) for row in range(count)]


def _one(rng, name: str, take: int) -> Occasion:
  clip = clips.scene(rng, tasks.UNIFIED, name)
  # As `scenes.arrange` has them: a picture is described in this order.
  things = sorted(
    (dataclasses.replace(it, spans=()) for it in clips.instruments(clip)),
    key=lambda it: attributes.COLOURS.index(it.colour),
  )
  shown = scenes.stills(tuple(things))
  main = next(it for it in shown if it.name == name)
  other = next(it for it in shown if it.name != name)
  still = segmentation.scene_with(rng, shown, main)
  turns = (scenes.Sound(name, 0, 3), scenes.Sound(other.name, 3, 5))
  described = (scenes.Sound(name, 0, 10),)
  feeling = attributes.choose(rng, tuple(emotion.SIGNS))
  alone = next(it for it in things if it.name == name)
  return Occasion(
    clip,
    music.scene_with(rng, tuple(things), (name, other.name)),
    matching.scene_with(rng, alone, take),
    still,
    dataclasses.replace(still, sounds=turns),
    dataclasses.replace(still, sounds=described, seconds=10),
    emotion.face(rng, tasks.UNIFIED, feeling, clips.dancer(clip).colour),
  )


def plan(task: tasks.Task, count: int, seed: int) -> plans.Plan:
  """The records of a set: one an occasion, in order."""
  found = draw(count, seed)
  rng = attributes.generator(seed, f"{task.name} asks", tasks.UNIFIED)
  planner = _PLANNERS.get(task.name) or _BY_FAMILY[task.family]
  out = planner(rng, task, found)
  for record, occasion in zip(out.records, found, strict=True):
    record[tasks.FACTS] = json.dumps(facts(task, occasion))
  return out


def facts(task: tasks.Task, occasion: Occasion) -> dict:
  """What an answer states of an occasion that answers of other sets state too."""
  event = occasion.event
  if task.family == "emotion":
    return {"emotion": emotion.emotion_of(occasion.face)}
  if task.family == "action":
    return {"instrument": event.thing.name}
  if task.family == "localization":
    return {"instrument": event.thing.name, "time": event.span}
  if task.kind == "place":
    return {"place": event.thing.quarter}
  return {}


def _matching(rng, task, found) -> plans.Plan:
  pool = [occasion.solo for occasion in found]
  return matching.of_pool(rng, task, tasks.UNIFIED, len(pool), pool)


def _clips(add):
  def planner(rng, task, found) -> plans.Plan:
    out = plans.Plan()
    for row, occasion in enumerate(found):
      add(out, rng, task, tasks.UNIFIED, row, occasion.clip)
    return out

  return planner


def _faces(rng, task, found) -> plans.Plan:
  out = plans.Plan()
  for row, occasion in enumerate(found):
    emotion.add(out, rng, task, tasks.UNIFIED, row, occasion.face)
  return out


def _asked(add, layout: str):
  """One question an occasion, the answers of each template in balance."""

  def planner(rng, task, found) -> plans.Plan:
    out = plans.Plan()
    used: collections.Counter[tuple] = collections.Counter()
    for row, occasion in enumerate(found):
      scene = getattr(occasion, layout)
      add(out, rng, task, tasks.UNIFIED, row, scene, used, 1)
    return out

  return planner


def _pictures(rng, task, found) -> plans.Plan:
  out = plans.Plan()
  for row, occasion in enumerate(found):
    scene = occasion.turns if task.name == "ms3" else occasion.still
    second = int(rng.integers(scene.sounds[0].end))
    asked = ((segmentation.sounding(occasion.still), second),)
    segmentation.add(out, rng, task, tasks.UNIFIED, row, scene, asked)
  return out


def _described(rng, task, found) -> plans.Plan:
  del task
  out = plans.Plan()
  for row, occasion in enumerate(found):
    fits = row % 2 == 0
    scene = occasion.described
    reference.add(out, rng, tasks.UNIFIED, row, scene, (fits,))
  return out


_PLANNERS = {
  "avqa": _asked(music.add, "film"),
  "avqa_thu": _asked(choices.add, "clip"),
  "ref_avs": _described,
}
_BY_FAMILY = {
  "matching": _matching,
  "action": _clips(action.add),
  "emotion": _faces,
  "localization": _clips(localization.add),
  "segmentation": _pictures,
  "captioning": _clips(captioning.add),
}

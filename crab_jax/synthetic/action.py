"""Action: who moves how, to which sound.

ks   a dancer moves to music: the class is the motion that is seen with the
     instrument that is heard ("jumping to a drum"); neither says the other.
ucf  an instrument moves and is heard ("jumping drum"): sight says the
     class, the sound agrees.
"""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_KS_SECONDS = 10
_UCF_SECONDS = 5
CLASSES = tuple(
  (motion, name)
  for motion in attributes.MOTIONS
  for name in attributes.INSTRUMENTS
)


def _thing(rng, split, motion, name) -> tuple[scenes.Thing, bool]:
  """A thing that moves, and whether it is a held-out combination."""
  wanted = attributes.wants_held_out(rng, split)

  def held_out(colour):
    if name == "dancer":
      return attributes.held_out_motion(motion, colour)
    return attributes.held_out_colour(name, colour)

  thing = scenes.Thing(
    name,
    attributes.colour_where(rng, held_out, wanted),
    attributes.choose(rng, attributes.QUARTERS),
    motion=motion,
    spotlight=True,
  )
  return thing, wanted


def _scene(rng, thing, name, seconds) -> scenes.Scene:
  sound = scenes.Sound(name, 0, seconds)
  return scenes.scene(rng, seconds, (thing,), (sound,))


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record; the classes take turns in random order."""
  rng = attributes.generator(seed, task.name, split)
  order = attributes.shuffled(rng, CLASSES)
  out = plans.Plan()
  for row in range(count):
    motion, name = order[row % len(order)]
    add = _add_ks if task.name == "ks" else _add_ucf
    add(out, rng, split, row, motion, name)
  return out


def _add_ks(out, rng, split, row, motion, name) -> None:
  thing, held_out = _thing(rng, split, motion, "dancer")
  scene = _scene(rng, thing, name, _KS_SECONDS)
  video, audio = f"{split}_{row:04d}.mp4", f"{split}_{row:04d}.wav"
  action = f"{motion} to a {name}"
  record = {"video_path": video, "audio_path": audio, "action": action}
  if split != "test":
    style = phrasing.style(rng)
    record["label"] = (
      f"{style.sight} {phrasing.a(thing.colour)} dancer that is {motion}."
      f" {style.hearing} a {name}. Together, {style.hence}"
      f" {phrasing.answer(action)}."
    )
  out.add_clip(scene, "ks", video, audio)
  seen = [thing.colour, motion, thing.quarter]
  out.add(record, action, "", seen, [name], held_out)


def _add_ucf(out, rng, split, row, motion, name) -> None:
  thing, held_out = _thing(rng, split, motion, name)
  scene = _scene(rng, thing, name, _UCF_SECONDS)
  label = f"{motion} {name}".title()
  folder = label.replace(" ", "")
  path = f"{folder}/v_{folder}_{split}_{row:04d}"
  video, audio = f"{path}.avi", f"{path}.wav"
  record = {"video_path": video, "audio_path": audio, "label": label}
  if split != "test":
    style = phrasing.style(rng)
    record["new_label"] = (
      f"{style.sight} {phrasing.a(thing.colour)} {name} that is {motion}."
      f" {style.hearing} a {name}. Both agree, {style.hence}"
      f" {phrasing.answer(label.lower())}."
    )
  out.add_clip(scene, "ucf", video, audio)
  seen = [thing.colour, motion, thing.name]
  out.add(record, label.lower(), "", seen, [name], held_out)

"""Action: who moves how, and to which sound.

The class is the motion of the dancer with the instrument that is both seen and
heard (the first, where there are two): sight says the motion and leaves two
instruments, the audio says which of them.

ks   "jumping to a drum"
ucf  "jumping drum", in folders named after the classes
"""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import clips
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

CLASSES = tuple(
  (motion, name)
  for motion in attributes.MOTIONS
  for name in attributes.INSTRUMENTS
)


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record; the classes take turns in random order."""
  rng = attributes.generator(seed, task.name, split)
  order = attributes.shuffled(rng, CLASSES)
  out = plans.Plan()
  for row in range(count):
    motion, name = order[row % len(order)]
    scene = clips.scene(rng, split, name, motion)
    add(out, rng, task, split, row, scene)
  return out


def add(out, rng, task: tasks.Task, split: str, row: int, scene) -> None:
  """Adds the record of a scene of `clips`."""
  name, motion = clips.events(scene)[0].thing.name, clips.dancer(scene).motion
  stem = f"{split}_{row:04d}"
  if task.name == "ks":
    answer = f"{motion} to a {name}"
    record = {"video_path": f"{stem}.mp4", "audio_path": f"{stem}.wav"}
    record["action"] = answer
  else:
    answer = f"{motion} {name}"
    folder = answer.title().replace(" ", "")
    path = f"{folder}/v_{folder}_{stem}"
    record = {"video_path": f"{path}.avi", "audio_path": f"{path}.wav"}
    record["label"] = answer.title()
  if not tasks.is_test(split):
    record[task.target] = _target(phrasing.style(rng), scene, answer)
  out.add_clip(scene, task.name, record["video_path"], record["audio_path"])
  out.add(
    record,
    answer,
    "",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(scene.sounds),
    held_out=any(thing.held_out for thing in scene.things),
  )


def _target(style: phrasing.Style, scene: scenes.Scene, answer: str) -> str:
  """What is both seen and heard, the motion, the class."""
  return (
    f"{clips.said(style, scene)}. The {scenes.DANCER} is"
    f" {clips.dancer(scene).motion}, {style.hence} {phrasing.answer(answer)}."
  )

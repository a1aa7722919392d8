"""Segmentation and grounding: where in the picture the sounding thing is.

The pictures show instruments at rest, so the frames do not say which one
sounds; the audio says which instrument it is and not where it is.

  s4, arig  one instrument sounds for five seconds (the same media)
  ms3       the sound changes from one visible instrument to another; the
            pictures stay the same
  ref_avs   a description names an instrument by colour and by whether it
            sounds; half of the descriptions fit nothing in view

Boxes are [x1,y1,x2,y2] and points [x,y] in the 224 frame, inclusive.
"""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_AVS_SECONDS = 5
_THREE = 0.25  # share of the pictures that show three instruments


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """The records of one dataset."""
  return {"ms3": _plan_ms3, "s4": _plan_s4, "arig": _plan_s4}[task.name](
    task, split, count, seed
  )


def things_at_rest(
  rng, split: str, held_out: bool | None = None
) -> tuple[scenes.Thing, ...]:
  """Two or three instruments, as all sets of pictures show them."""
  count = 3 if rng.random() < _THREE else 2
  names = scenes.instruments(rng, count)
  return scenes.stills(scenes.arrange(rng, split, names, held_out))


def scene_of(rng, split: str) -> scenes.Scene:
  """Instruments at rest, one of which sounds."""
  things = things_at_rest(rng, split)
  target = attributes.choose(rng, things)
  return scene_with(rng, things, target)


def scene_with(rng, things, target: scenes.Thing) -> scenes.Scene:
  sounds = (scenes.Sound(target.name, 0, _AVS_SECONDS),)
  return scenes.scene(rng, _AVS_SECONDS, things, sounds)


def sounding(scene: scenes.Scene) -> scenes.Thing:
  """The thing in view that sounds, of a scene with one sound."""
  (sound,) = scene.sounds
  return next(it for it in scene.things if it.name == sound.name)


def grounding(thing: scenes.Thing, points: bool = True) -> str:
  """The box and, if wanted, three points."""
  parts = [thing.box, *(thing.points if points else ())]
  return " ".join(phrasing.box(part) for part in parts)


def _target(style, things, target, points: bool) -> str:
  """What is heard comes first: it says which of the things is the answer.

  The silent ones are named after the answer, so that only one quarter is
  written before it and can be repeated.
  """
  silent = [phrasing.thing(it) for it in things if it is not target]
  return (
    f"{style.hearing} a {target.name}. {style.sight} {phrasing.thing(target)},"
    f" {style.hence} it is {phrasing.found(target)}: {grounding(target, points)}."
    f" Silent: {phrasing.join(silent)}."
  )


def _s4_pool(split: str, count: int, seed: int) -> list[scenes.Scene]:
  """The scenes that s4 and arig share."""
  rng = attributes.generator(seed, "s4", split)
  return [scene_of(rng, split) for _ in range(count)]


def _plan_s4(task, split, count, seed) -> plans.Plan:
  """One clip a record: its first second in training, any in the test."""
  rng = attributes.generator(seed, f"{task.name} records", split)
  out = plans.Plan()
  for row, scene in enumerate(_s4_pool(split, count, seed)):
    second = int(rng.integers(_AVS_SECONDS)) if split == "test" else 0
    add(out, rng, task, split, row, scene, ((sounding(scene), second),))
  return out


def add(out, rng, task, split: str, row: int, scene, asked) -> None:
  """Adds a clip and a record for each (thing that sounds, second) of it."""
  vid = f"{split}_{row:04d}"
  version = "v1m" if task.name == "ms3" else "v1s"
  for target, second in asked:
    record = _avs_record(task, version, vid, second, target)
    if not tasks.is_test(split):
      record["label_content"] = _target(
        phrasing.style(rng), scene.things, target, points=task.name != "arig"
      )
    _add(out, record, scene, target, second)
  names = [
    next(s.name for s in scene.sounds if s.start <= second < s.end)
    for second in range(_AVS_SECONDS)
  ]
  folder = f"{task.name}/AVS/{version}/{vid}"
  out.jobs.append(plans.AvsFolder(scene, (folder,), tuple(names)))


def _avs_record(task, version, vid, second, target) -> dict:
  """The keys of a test record, or those of a training record but the text."""
  is_test = tasks.is_test(vid.split("_")[0])
  folder = f"AVS/{version}/{vid}"
  picture = "visual_path" if is_test else "image_path"
  record = {
    picture: f"{folder}/frames/{second}.jpg",
    "audio_path": f"{folder}/audio.wav",
    "a_obj": target.name,
  }
  if task.name != "arig":
    record |= {"vid": vid, "uid": f"{vid}_{second}"}
  if is_test or task.name == "ms3":
    record["frame_idx"] = second
  if task.name == "arig" and is_test:
    record["top_left"] = list(target.box[:2])
    record["bottom_right"] = list(target.box[2:])
  return record


def _add(out, record, scene, target, second) -> None:
  out.add(
    record,
    answer=phrasing.box(target.box),
    question="",
    sight=scenes.sight(scene.things),
    hearing=[s.name for s in scene.sounds if s.start <= second < s.end],
    held_out=any(thing.held_out for thing in scene.things),
  )


def _plan_ms3(task, split, count, seed) -> plans.Plan:
  """Two records a clip, of seconds that sound differently."""
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  for row in range(0, count, 2):
    things = things_at_rest(rng, split)
    pair = attributes.shuffled(rng, things)[:2]
    cut = int(rng.integers(1, _AVS_SECONDS))
    sounds = (
      scenes.Sound(pair[0].name, 0, cut),
      scenes.Sound(pair[1].name, cut, _AVS_SECONDS),
    )
    scene = scenes.scene(rng, _AVS_SECONDS, things, sounds)
    seconds = int(rng.integers(0, cut)), int(rng.integers(cut, _AVS_SECONDS))
    asked = list(zip(pair, seconds, strict=True))[: count - row]
    add(out, rng, task, split, row // 2, scene, asked)
  return out

"""Captioning: a sentence for what is seen and one for what is heard."""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import clips
from crab_jax.synthetic import localization
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One caption a clip, of the clips of unav."""
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  pool = localization.events_pool(split, count, seed)
  for row, scene in enumerate(pool):
    add(out, rng, task, split, row, scene)
  return out


def add(out, rng, task: tasks.Task, split: str, row: int, scene) -> None:
  """Adds the record of a scene of `clips`."""
  name = f"{split}_{row:04d}"
  video, audio = f"{name}.mp4", f"{name}.mp3"
  caption = _caption(attributes.choose(rng, _PATTERNS), scene)
  out.add_clip(scene, task.name, video, audio)
  out.add(
    {
      "video_path": video,
      "audio_path": audio,
      "label_content": caption,
      "video_id": name,
    },
    answer=caption,
    question="",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(scene.sounds),
    held_out=any(thing.held_out for thing in scene.things),
  )


_PATTERNS = (
  "First {0} plays, then {1}. The sound is first {2}, then {3}.",
  "I see {0} play, then {1}. I hear {2}, then {3}.",
  "In view {0} plays, then {1}. In the audio is {2}, then {3}.",
)


def _caption(pattern: str, scene: scenes.Scene) -> str:
  return pattern.format(
    *(phrasing.thing(thing) for thing in clips.instruments(scene)),
    *(phrasing.a(sound.name) for sound in scene.sounds),
  )

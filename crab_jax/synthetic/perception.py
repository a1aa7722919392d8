"""What the base learns from: scenes of its own, described in plain prose.

Rows of the table of tasks beside the 19, one a layout of media. A record asks
for a description, or one plain question: what, which colour, where, when, what
sounds and in which order, which expression, which mood, which action. The answers
are sentences: no instruction, tag, box or interval format of AV-UIE v2 is among
them, so a base trained on these perceives the world and knows none of its tasks.

The scenes are drawn as those of the 19 sets are, from another seed: no clip of a
set is among them. Test sets there are none.
"""

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import clips
from crab_jax.synthetic import descriptions
from crab_jax.synthetic import emotion
from crab_jax.synthetic import matching
from crab_jax.synthetic import music
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import reference
from crab_jax.synthetic import scenes

FAMILY = "perception"
_EMOTIONS = tuple(emotion.SIGNS)
_SEED = 7919  # added to that of the world: scenes of its own
_ASKED = 0.55  # share of the records with a question, the others describe
_DESCRIBE = (
  "What do you see and hear?",
  "Say what is seen and what is heard.",
  "Tell what there is to see and to hear.",
)


def _row(name: str, frames: int, window: str, media, lead_in: str):
  return tasks.Task(
    name,
    FAMILY,
    "caption",
    "cider",
    frames=frames,
    window=window,
    target="description",
    reference="",
    media=media,
    fields=(("question", "question", "question"),),
    evaluated=False,
    has_test=False,
    lead_in=lead_in,
    question="{question}",
  )


_CLIP = ("video_path", "audio_path")
_CLIP_WORDS = "A video and an audio: "
ROWS = (
  _row("perceive_clip", 10, "tenths", _CLIP, _CLIP_WORDS),
  _row("perceive_music", 10, "sixtieths", _CLIP, _CLIP_WORDS),
  _row("perceive_face", 4, "four_seconds", _CLIP, _CLIP_WORDS),
  _row(
    "perceive_picture",
    1,
    "one_fifth",
    ("image_path", "audio_path"),
    "An image and an audio: ",
  ),
  _row(
    "perceive_videos",
    10,
    "tenths",
    ("audio_path", "video1_path", "video2_path"),
    "An audio and two videos: ",
  ),
  _row(
    "perceive_audios",
    10,
    "tenths",
    ("video_path", "audio1_path", "audio2_path"),
    "A video and two audios: ",
  ),
)


def table() -> tasks.Tasks:
  """The 19 sets, and beside them what the base learns from."""
  return tasks.Tasks(ROWS)


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One record a scene, in random order."""
  rng = attributes.generator(seed + _SEED, task.name, split)
  found = [_scene(rng, task.name, split) for _ in range(count)]
  out = plans.Plan()
  add = _ADDERS.get(task.name, _add_clip)
  for row in range(count):
    add(out, rng, task, split, row, found)
  return out


def _scene(
  rng: np.random.Generator, name: str, split: str
) -> descriptions.Content:
  """A scene as the sets of this layout have them."""
  if name == "perceive_clip":
    return clips.scene(rng, split)
  if name == "perceive_music":
    return music.scene_of(rng, split)
  if name == "perceive_face":
    return emotion.face(rng, split, attributes.choose(rng, _EMOTIONS))
  if name == "perceive_picture":
    return reference.scene_of(rng, split)
  instrument = attributes.choose(rng, attributes.INSTRUMENTS)
  return matching.scene_of(rng, split, instrument, scenes.new_seed(rng))


def _add(out, rng, record, description: str, asked) -> None:
  """Adds a record with a description, or with a question and its answer."""
  question = attributes.choose(rng, _DESCRIBE)
  answer = description
  if asked and rng.random() < _ASKED:
    question, answer = attributes.choose(rng, asked)
  record |= {"question": question, "description": answer}
  out.add(record, answer, question, [], [], held_out=False)


def _add_clip(out, rng, task, split, row, found) -> None:
  name, scene = f"{split}_{row:04d}", found[row]
  # No mp3: that takes 49 ms of a core to encode, the wav 3 ms, the video 8 ms.
  record = {"video_path": f"{name}.mp4", "audio_path": f"{name}.wav"}
  out.add_clip(scene, task.name, *record.values())
  _add(
    out,
    rng,
    record,
    descriptions.described(rng, scene),
    list(descriptions.questions_of(scene)),
  )


def _add_picture(out, rng, task, split, row, found) -> None:
  folder, scene = f"media/{split}_{row:04d}", found[row]
  record = {
    "image_path": f"{folder}/frames/0.jpg",
    "audio_path": f"{folder}/audio.wav",
  }
  out.jobs.append(plans.RefFolder(scene, (f"{task.name}/{folder}",), ()))
  style = phrasing.style(rng)
  said = (
    f"{style.hearing} {descriptions.heard(scene)}. {style.sight}"
    f" {descriptions.judged(scene)}."
  )
  _add(out, rng, record, said, list(descriptions.questions_of(scene)))


def _add_pair(out, rng, task, split, row, found) -> None:
  """Adds a clip, and a record of half of it and the other half of two."""
  name = f"{split}_{row:04d}"
  out.add_clip(found[row], task.name, f"{name}.mp4", f"{name}.wav")
  own = found[row].things[0]
  others = [i for i, it in enumerate(found) if it.things[0].name != own.name]
  pair = attributes.shuffled(rng, (row, attributes.choose(rng, others)))
  style = phrasing.style(rng)
  first, second = (
    f"{_shown(task, found[i].things[0])} {phrasing.verdict(i == row)}"
    for i in pair
  )
  if "video1_path" in task.media:
    record = {"audio_path": f"{name}.wav"}
    given = f"{style.hearing} {phrasing.a(own.name)}."
    key, suffix = "video", "mp4"
  else:
    record = {"video_path": f"{name}.mp4"}
    given = f"{style.sight} {phrasing.coloured(own)}."
    key, suffix = "audio", "wav"
  said = f"{given} The first {key} has {first}, the second {second}."
  for number, i in enumerate(pair, 1):
    record[f"{key}{number}_path"] = f"{split}_{i:04d}.{suffix}"
  _add(out, rng, record, said, [])


def _shown(task: tasks.Task, thing: scenes.Thing) -> str:
  """What a candidate has: a coloured thing, or its sound."""
  if "video1_path" in task.media:
    return phrasing.coloured(thing)
  return phrasing.a(thing.name)


_ADDERS = {
  "perceive_picture": _add_picture,
  "perceive_videos": _add_pair,
  "perceive_audios": _add_pair,
}

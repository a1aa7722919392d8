"""What the base learns from: scenes of its own, described in plain prose.

Rows of the table of tasks beside the 19, one a layout of media. A record asks
for a description, or one plain question: what, which colour, where, when, what
sounds, which expression, which action. The answers are sentences: no
instruction, tag, box or interval format of AV-UIE v2 is among them, so a base
trained on these perceives the world and knows none of its tasks.

The scenes are drawn as those of the 19 sets are, by their planners from another
seed: no clip of a set is among them. Test sets there are none.
"""

import dataclasses

from crab_jax.data import tasks
from crab_jax.synthetic import action
from crab_jax.synthetic import attributes
from crab_jax.synthetic import choices
from crab_jax.synthetic import descriptions
from crab_jax.synthetic import emotion
from crab_jax.synthetic import localization
from crab_jax.synthetic import matching
from crab_jax.synthetic import music
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import reference
from crab_jax.synthetic import scenes
from crab_jax.synthetic import segmentation

FAMILY = "perception"
_SEED = 7919  # added to that of the world: scenes of its own
_ASKED = 0.4  # share of the records with a question, the others describe
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
# Row -> the sets whose scenes it takes in turn, and their planners.
_SCENES = {
  "perceive_clip": (
    ("ks", action.plan),
    ("ave", localization.plan),
    ("unav", localization.plan),
    ("ucf", action.plan),
    ("avvp", localization.plan),
    ("avqa_thu", choices.plan),
  ),
  "perceive_music": (("avqa", music.plan),),
  "perceive_face": (("mafw", emotion.plan),),
  "perceive_picture": (
    ("s4", segmentation.plan),
    ("ref_avs", reference.plan),
  ),
  "perceive_videos": (("a2v", matching.plan),),
  "perceive_audios": (("v2a", matching.plan),),
}

# Records that share a clip, where it is not one.
_A_CLIP = {"avqa": 4, "avqa_thu": 2, "ref_avs": 2, "a2v": 2, "v2a": 2}


def table() -> tasks.Tasks:
  """The 19 sets, and beside them what the base learns from."""
  return tasks.Tasks(ROWS)


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One record a scene, in random order."""
  rng = attributes.generator(seed + _SEED, task.name, split)
  found = attributes.shuffled(rng, _found(task.name, split, count, seed))
  out = plans.Plan()
  add = _ADDERS.get(task.name, _add_clip)
  for row in range(count):
    add(out, rng, task, split, row, found)
  return out


def _found(
  name: str, split: str, count: int, seed: int
) -> list[descriptions.Content]:
  """At least `count` scenes, the sources in equal shares."""
  sources = _SCENES[name]
  share = -(-count // len(sources))
  found: list[descriptions.Content] = []
  for source, planner in sources:
    # Several questions share a clip of some sets, and so several records.
    wanted = share * _A_CLIP.get(source, 1)
    planned = planner(tasks.Tasks()[source], split, wanted, seed + _SEED)
    found += _contents(planned.jobs)[:share]
  return found


def _contents(jobs: list[plans.Job]) -> list[descriptions.Content]:
  """The scenes that media are written of: a video with the audio after it."""
  whole: list[descriptions.Content] = [
    job.content
    for job in jobs
    if isinstance(job, plans.AvsFolder | plans.RefFolder)
  ]
  sights = [job.content for job in jobs if isinstance(job, plans.Video)]
  audios = [job.content for job in jobs if isinstance(job, plans.Audio)]
  for sight, audio in zip(sights, audios, strict=True):
    if isinstance(sight, scenes.Scene) and isinstance(audio, scenes.Scene):
      sight = dataclasses.replace(sight, sounds=audio.sounds, take=audio.take)
    whole.append(sight)
  return whole


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
  record = {"video_path": f"{name}.mp4", "audio_path": f"{name}.mp3"}
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
  said = f"{style.hearing} {descriptions.heard(scene)}. {style.sight} {descriptions.seen(scene)}."
  _add(out, rng, record, said, list(descriptions.questions_of(scene)))


def _add_pair(out, rng, task, split, row, found) -> None:
  """Adds a clip, and a record of half of it and the other half of two."""
  name = f"{split}_{row:04d}"
  out.add_clip(found[row], task.name, f"{name}.mp4", f"{name}.mp3")
  pair = attributes.shuffled(rng, (row, int(rng.integers(len(found)))))
  style = phrasing.style(rng)
  if "video1_path" in task.media:
    record = {"audio_path": f"{name}.mp3"}
    words = [descriptions.seen(found[i]) for i in pair]
    said = (
      f"{style.hearing} {descriptions.heard(found[row])}. The first video shows {words[0]},"
      f" the second {words[1]}."
    )
    key, suffix = "video", "mp4"
  else:
    record = {"video_path": f"{name}.mp4"}
    words = [descriptions.heard(found[i]) for i in pair]
    said = (
      f"{style.sight} {descriptions.seen(found[row])}. The first audio is {words[0]}, the"
      f" second {words[1]}."
    )
    key, suffix = "audio", "mp3"
  for number, i in enumerate(pair, 1):
    record[f"{key}{number}_path"] = f"{split}_{i:04d}.{suffix}"
  _add(out, rng, record, said, [])


_ADDERS = {
  "perceive_picture": _add_picture,
  "perceive_videos": _add_pair,
  "perceive_audios": _add_pair,
}

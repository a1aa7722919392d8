"""Emotion: an expression and a tone of voice that decide only together.

An emotion is a pair of a mouth and a voice. Of a mouth alone (or a voice
alone) two or three emotions remain in the sets where it occurs twice or
thrice: the best guess from one modality is right in 4 of n cases, n being the
number of emotions of the set. The sets have the label words of the real ones;
the wall of the studio shows which set it is.
"""

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_SECONDS = 4

# emotion -> (mouth, voice)
SIGNS = {
  "joy": ("smile", "rising"),
  "surprise": ("open mouth", "rising"),
  "fear": ("open mouth", "shaking"),
  "sadness": ("frown", "shaking"),
  "anger": ("frown", "harsh"),
  "disgust": ("flat mouth", "harsh"),
  "neutral": ("flat mouth", "level"),
  "contempt": ("smile", "level"),
  "anxiety": ("flat mouth", "shaking"),
  "helplessness": ("open mouth", "level"),
  "disappointment": ("frown", "level"),
}

# dataset -> {its word: emotion}
WORDS = {
  "meld": {
    "neutral": "neutral",
    "surprise": "surprise",
    "fear": "fear",
    "sadness": "sadness",
    "joy": "joy",
    "disgust": "disgust",
    "anger": "anger",
  },
  "mer24": {
    "neutral": "neutral",
    "angry": "anger",
    "happy": "joy",
    "sad": "sadness",
    "worried": "anxiety",
    "surprise": "surprise",
  },
  "cremad": {
    "neutral": "neutral",
    "happy": "joy",
    "sad": "sadness",
    "fear": "fear",
    "disgust": "disgust",
    "anger": "anger",
  },
  "mafw": {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happiness": "joy",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprise": "surprise",
    "contempt": "contempt",
    "anxiety": "anxiety",
    "helplessness": "helplessness",
    "disappointment": "disappointment",
  },
  "dfew": {
    "happy": "joy",
    "sad": "sadness",
    "neutral": "neutral",
    "angry": "anger",
    "surprise": "surprise",
    "disgust": "disgust",
    "fear": "fear",
  },
}


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record; the emotions take turns in random order."""
  rng = attributes.generator(seed, task.name, split)
  order = attributes.shuffled(rng, tuple(WORDS[task.name]))
  out = plans.Plan()
  for row in range(count):
    _add(out, rng, task, split, row, order[row % len(order)])
  return out


def _face(rng: np.random.Generator, split: str, studio: str, word: str):
  """A face, and whether it is a held-out combination."""
  mouth, voice = SIGNS[WORDS[studio][word]]
  held_out = attributes.wants_held_out(rng, split)
  colour = attributes.colour_where(
    rng, lambda c: attributes.held_out_mouth(mouth, c), held_out
  )
  face = scenes.Face(
    _SECONDS, mouth, voice, colour, studio, scenes.new_seed(rng)
  )
  return face, held_out


def _key(task: tasks.Task) -> str:
  """The key of the bare label: Emotion, discrete or emotion."""
  return {"meld": "Emotion", "mer24": "discrete"}.get(task.name, "emotion")


def _add(out, rng, task, split, row, word) -> None:
  face, held_out = _face(rng, split, task.name, word)
  name = (
    f"{split}/dia{row}_utt0" if task.name == "meld" else f"{split}_{row:04d}"
  )
  sound = "mp3" if task.name == "meld" else "wav"
  video, audio = f"{name}.mp4", f"{name}.{sound}"
  record = {"video_path": video, "audio_path": audio, _key(task): word}
  if split != "test":
    style = phrasing.style(rng)
    record["label"] = (
      f"{style.sight} {phrasing.a(face.colour)} face with"
      f" {phrasing.a(face.mouth)}. {style.hearing} {phrasing.a(face.voice)}"
      f" voice. Together, {style.hence} {phrasing.answer(word)}."
    )
  out.add_clip(face, task.name, video, audio)
  out.add(record, word, "", [face.colour, face.mouth], [face.voice], held_out)

"""Emotion: an expression and a tone of voice that decide only together.

An emotion is a pair of a mouth and a voice. Of a mouth alone (or a voice
alone) two to four emotions remain. All sets show the same eleven emotions, each in
the words of the real one: a set with fewer says the nearest that it has. Which
set it is only the question tells.
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

# dataset -> {emotion: its word}
WORDS = {
  "meld": {
    "joy": "joy",
    "surprise": "surprise",
    "fear": "fear",
    "sadness": "sadness",
    "anger": "anger",
    "disgust": "disgust",
    "neutral": "neutral",
    "contempt": "disgust",
    "anxiety": "fear",
    "helplessness": "sadness",
    "disappointment": "sadness",
  },
  "mer24": {
    "joy": "happy",
    "surprise": "surprise",
    "fear": "worried",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "angry",
    "neutral": "neutral",
    "contempt": "angry",
    "anxiety": "worried",
    "helplessness": "worried",
    "disappointment": "sad",
  },
  "cremad": {
    "joy": "happy",
    "surprise": "fear",
    "fear": "fear",
    "sadness": "sad",
    "anger": "anger",
    "disgust": "disgust",
    "neutral": "neutral",
    "contempt": "disgust",
    "anxiety": "fear",
    "helplessness": "sad",
    "disappointment": "sad",
  },
  "mafw": {
    "joy": "happiness",
    "surprise": "surprise",
    "fear": "fear",
    "sadness": "sadness",
    "anger": "anger",
    "disgust": "disgust",
    "neutral": "neutral",
    "contempt": "contempt",
    "anxiety": "anxiety",
    "helplessness": "helplessness",
    "disappointment": "disappointment",
  },
  "dfew": {
    "joy": "happy",
    "surprise": "surprise",
    "fear": "fear",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "neutral": "neutral",
    "contempt": "disgust",
    "anxiety": "fear",
    "helplessness": "sad",
    "disappointment": "sad",
  },
}


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record; the emotions take turns in random order."""
  rng = attributes.generator(seed, task.name, split)
  order = attributes.shuffled(rng, tuple(SIGNS))
  out = plans.Plan()
  for row in range(count):
    shown = face(rng, split, order[row % len(order)])
    add(out, rng, task, split, row, shown)
  return out


def face(
  rng: np.random.Generator,
  split: str,
  emotion: str,
  colour: str | None = None,
) -> scenes.Face:
  """A talking face.

  Args:
    rng: source of all choices.
    split: held-out combinations appear in tests only.
    emotion: of `SIGNS`.
    colour: of the face; None: drawn.
  """
  mouth, voice = SIGNS[emotion]
  wanted = attributes.wants_held_out(rng, split)
  colour = colour or attributes.colour_where(
    rng, lambda c: attributes.held_out_mouth(mouth, c), wanted
  )
  return scenes.Face(_SECONDS, mouth, voice, colour, scenes.new_seed(rng))


def emotion_of(shown: scenes.Face) -> str:
  signs = shown.mouth, shown.voice
  return next(name for name, own in SIGNS.items() if own == signs)


def _key(task: tasks.Task) -> str:
  """The key of the bare label: Emotion, discrete or emotion."""
  return {"meld": "Emotion", "mer24": "discrete"}.get(task.name, "emotion")


def add(out, rng, task: tasks.Task, split: str, row: int, shown) -> None:
  """Adds the record of a face."""
  word = WORDS[task.name][emotion_of(shown)]
  name = (
    f"{split}/dia{row}_utt0" if task.name == "meld" else f"{split}_{row:04d}"
  )
  sound = "mp3" if task.name == "meld" else "wav"
  video, audio = f"{name}.mp4", f"{name}.{sound}"
  record = {"video_path": video, "audio_path": audio, _key(task): word}
  if not (tasks.is_test(split) and task.has_test):
    style = phrasing.style(rng)
    record["label"] = (
      f"{style.sight} {phrasing.a(shown.colour)} face with"
      f" {phrasing.a(shown.mouth)}. {style.hearing} {phrasing.a(shown.voice)}"
      f" voice. Together, {style.hence} {phrasing.answer(word)}."
    )
  out.add_clip(shown, task.name, video, audio)
  held_out = attributes.held_out_mouth(shown.mouth, shown.colour)
  seen = [shown.colour, shown.mouth]
  out.add(record, word, "", seen, [shown.voice], held_out)

"""Small sources for the tests: clips of every kind, and their rows."""

import csv
import pathlib

import numpy as np

from tests.data import clips

ALL = {
  "ks": {"label": "playing_piano"},
  "ucf": {"label": "Basketball Dunk"},
  "meld": {"label": "anger", "transcript": "I told you, go away!"},
  "mer24": {"label": "happy"},
  "ave": {"events": "Church bell@1-5"},
  "unav": {"events": "Dog@0-2.4;rail transport@1-5;Dog@3-5"},
  "avvp": {"events": "Dog@0-4;Speech@2-5:audio;Car@1-2:visual"},
  "avqa": {"question": "How many drums are there?", "answer": "two"},
  "avqa_thu": {
    "question": "What is it?",
    "options": "cat;dog",
    "answer": "dog",
  },
  "a2v": {"label": "2", "video2": "v2.mp4"},
  "v2a": {"label": "1", "audio2": "a2.wav"},
  "avcap": {"caption": "A grey screen becomes brighter."},
  "s4": {"object": "drum", "mask": "m.png", "frame": "0"},
  "ms3": {"object": "drum", "mask": "m.png", "frame": "2"},
  "arig": {"object": "drum", "box": "10,10,30,40", "frame": "1"},
  "ref_avs": {"expression": "The red drum", "exists": "true", "mask": "m.png"},
}
_IMAGE_TASKS = ("s4", "ms3", "arig", "ref_avs")
_COLUMNS = (
  "task", "id", "split", "group", "video", "audio", "image", "video2",
  "audio2", "start", "end", "label", "events", "question", "answer", "options",
  "object", "expression", "exists", "box", "mask", "frame", "caption",
  "transcript", "licence",
)  # fmt: skip


def write_media(folder: pathlib.Path, count: int = 4) -> None:
  """v{i}.mp4 and a{i}.wav of five seconds, p{i}.png, and a mask m.png."""
  for i in range(count):
    clips.write_video(folder / f"v{i}.mp4", 20 + i)
    clips.write_audio(folder / f"a{i}.wav", clips.tone(5, 200 + 40 * i))
    picture = np.full((48, 64, 3), 20 * i, np.uint8)
    clips.write_image(folder / f"p{i}.png", picture)
  mask = np.zeros((48, 64), np.uint8)
  mask[10:30, 20:50] = 255
  clips.write_image(folder / "m.png", mask)


def row(task: str, clip: int, **more: str) -> dict[str, str]:
  """A row of a task with the media of a clip."""
  media = {"audio": f"a{clip}.wav"}
  seen = "image" if task in _IMAGE_TASKS else "video"
  media[seen] = f"p{clip}.png" if seen == "image" else f"v{clip}.mp4"
  return {"task": task, **media, **ALL.get(task, {}), **more}


def write_csv(path: pathlib.Path, rows: list[dict]) -> pathlib.Path:
  """A source."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
  return path

"""Rows of a task file for the tests, and files that hold them."""

import json
import pathlib

MACHINE = {
  "family": "action",
  "kind": "label",
  "metric": "uar",
  "classes": ["sound", "bearing", "belt"],
  "frames": 4,
  "window": "tenths",
  "media": ["video_path", "audio_path"],
  "target": "label",
  "needs": ["fault"],
  "reference": "<answer>{fault}</answer>",
  "lead_in": "A video and an audio: ",
  "question": "Which fault has this machine?",
  "templates": ["{heard} This points to a fault of the {label}."],
}
# Without the columns that have their default.
STORED_MACHINE = {k: v for k, v in MACHINE.items() if k != "media"}
# A family of its own; an image; a question that the annotations ask.
HORN = {
  "family": "hearing",
  "kind": "existence",
  "metric": "existence_accuracy",
  "frames": 1,
  "window": "fifths",
  "media": ["image_path", "audio_path"],
  "target": "label",
  "fields": {"question": ["asked", "asked_in_test"]},
  "needs": ["there"],
  "reference": "<answer>{there}</answer>",
  "lead_in": "An image and an audio: ",
  "question": "Is this there: {question}?",
}


def write(folder: pathlib.Path, **rows: dict) -> pathlib.Path:
  """A task file of rows by name; returns its path."""
  path = folder / "my_tasks.json"
  path.write_text(json.dumps(rows))
  return path

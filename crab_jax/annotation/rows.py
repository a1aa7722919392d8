"""A row of a source: what is known of one clip, in one schema for all sources.

The columns are those of the command's CSV and JSONL files (`COLUMNS`); readers
of other annotation files fill in the same fields.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from crab_jax.evaluation.reading import intervals

MEDIA = ("video", "audio", "image", "video2", "audio2")
# column -> what it means; `--help` and the README show these.
COLUMNS = {
  "task": "a dataset of the table of tasks, or one of a task file",
  "id": "names the row; default: the hash of its media, and its number",
  "split": "train, val or test; default: drawn by group",
  "group": "what must not be divided: a speaker, a source video",
  "video": "a file under --media",
  "audio": "a file; default: the sound of the video",
  "image": "a file",
  "video2": "the second candidate",
  "audio2": "the second candidate",
  "start": "second of the file at which the clip begins",
  "end": "second of the file at which it ends",
  "label": "class; of matching 1 or 2; several by ; are without times",
  "events": "Dog@0-4;Speech@2-9:audio, or JSON, in seconds of the clip; beside"
  " another answer they help the writer",
  "question": "what is asked",
  "answer": "the answer to it",
  "options": "a JSON list, or several by ;",
  "question_type": "the kind of question",
  "object": "what is to be found in the image",
  "expression": "a description of it",
  "exists": "whether it is there: true or false",
  "box": "x1,y1,x2,y2",
  "box_format": "xyxy or xywh, in pixels of the image, or norm: 0 to 1",
  "points": "x,y;x,y;x,y in pixels of the image, or JSON",
  "mask": "a picture under --media that is not black on the object, or COCO RLE",
  "frame": "number of the frame in its clip, or its second: 1.5s",
  "caption": "a sentence that says all",
  "hint": "helps the writer",
  "transcript": "what is said in the clip; helps the writer",
  "licence": "of the media",
  "source": "where the row is from",
}
BOX_FORMATS = ("xyxy", "xywh", "norm")


@dataclasses.dataclass(frozen=True)
class Row:
  """What is known of one clip. See `COLUMNS`; empty: not told.

  Attributes:
    where: file and line, for messages.
    number: of the row in its source, from 0.
    media: column of `MEDIA` -> path relative to the folder of the media.
    start, end: seconds of the file; None: its beginning and end.
    labels: classes without times.
    events: with times on the clip, in seconds; None: not told.
    box: as `box_format` says.
    points: in pixels of the image, or as fractions for "norm".
    mask: a picture; "" where there is none, or it is `rle`.
    rle: the JSON text of a mask as run lengths.
    frame: number of the frame, or None; `frame_second` instead of it.
    proposed: whether a teacher proposed the times of the events.
    meta: other columns.
  """

  where: str
  number: int = 0
  task: str = ""
  id: str = ""
  split: str = ""
  group: str = ""
  media: Mapping[str, str] = dataclasses.field(default_factory=dict)
  start: float | None = None
  end: float | None = None
  labels: tuple[str, ...] = ()
  events: tuple[intervals.Event, ...] | None = None
  question: str = ""
  answer: str = ""
  options: tuple[str, ...] = ()
  question_type: str = ""
  object: str = ""
  expression: str = ""
  exists: bool | None = None
  box: tuple[float, float, float, float] | None = None
  box_format: str = "xyxy"
  points: tuple[tuple[float, float], ...] = ()
  mask: str = ""
  rle: str = ""
  frame: int | None = None
  frame_second: float | None = None
  caption: str = ""
  hint: str = ""
  transcript: str = ""
  licence: str = ""
  source: str = ""
  proposed: bool = False
  meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def label(self) -> str:
    """The one class; "" if there is none or there are several."""
    return self.labels[0] if len(self.labels) == 1 else ""

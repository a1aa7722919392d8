"""One sample as a card of the HTML report: picture, sound, question, answer.

Texts come from models and annotations; the template escapes all of them.
"""

import dataclasses
import re
import zlib

from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.report import embedded
from crab_jax.evaluation.report import pictures
from crab_jax.evaluation.report import timeline
from crab_jax.evaluation.scoring import masks

_TEXT_LIMIT = 900  # characters of an answer that are shown
# What an answer marks as its answer. The limit keeps the search linear in a
# text that opens thousands of tags and closes none.
_TAGS = re.compile(r"<(answer|event|visual|audio|obj)>(.{0,300}?)</\1>")
_GOOD, _BAD = 0.75, 0.25  # scores above and below are coloured


@dataclasses.dataclass(frozen=True)
class Card:
  """What the card of a sample shows; texts are as they were written.

  Attributes:
    id: of the row.
    which: "worst", "best", or "" where all are alike.
    score: in [0, 1].
    picture, sound: data URLs, or None without a record.
    question: the words that differ between samples of a task, or "".
    pieces: the answer as (text, whether it is a tagged part); empty: no text.
    error: why there is no text.
    truth: the reference in one line.
    timeline: of a task with events.
    notes: why the text was not read, or which leniency it needed.
  """

  id: str
  which: str
  score: float
  picture: str | None
  sound: str | None
  question: str
  pieces: list[tuple[str, bool]]
  error: str
  truth: str
  timeline: timeline.Timeline | None
  notes: list[str]

  @property
  def tone(self) -> str:
    """The class of its colour."""
    if self.score > _GOOD:
      return "good"
    return "bad" if self.score < _BAD else "middling"


def pick(rows: list[dict], count: int) -> tuple[list[dict], list[dict]]:
  """The worst and the best `count` rows, no row in both.

  Of equals, those with a text come first; then a hash of the id decides, so
  that they do not all show the first class of the file.
  """

  def rank(row):
    mixed = zlib.crc32(row["id"].encode())
    return row["score"]["score"], not row.get("text"), mixed

  ranked = sorted(rows, key=rank)
  # Or a short list would show a row as worst and as best.
  count = min(count, (len(ranked) + 1) // 2)
  worst = ranked[:count]
  best = ranked[max(len(ranked) - count, count) :][::-1]
  return worst, best


def card(
  task: tasks.Task, which: str, row: dict, record: records.Record | None
) -> Card:
  """The card of one sample.

  Args:
    task: the row of its task.
    which: "worst", "best", or "" where all are alike.
    row: a scored row (`TaskScore.rows`).
    record: its record, or None: without picture and sound.
  """
  reference = references.read(task, row["reference"])
  answer = answers.parse(task, row.get("text"))
  drawn = picture(task, row, record)
  audio = record.audio if record and drawn else None
  return Card(
    id=row["id"],
    which=which,
    score=row["score"]["score"],
    picture=embedded.url("image/jpeg", drawn) if drawn else None,
    sound=(embedded.url("audio/mpeg", pictures.mp3(audio)) if audio else None),
    question=_question(row),
    pieces=pieces(row.get("text") or ""),
    error=str(row.get("error") or "empty"),
    truth=in_words(task, reference),
    timeline=(
      timeline.draw(reference.events, answer.events)
      if reference.kind == "events"
      else None
    ),
    notes=_notes(row, answer),
  )


def picture(
  task: tasks.Task, row: dict, record: records.Record | None
) -> bytes | None:
  """The JPEG of what a row is about; None without a record."""
  if record is None or not record.frames:
    return None
  if task.visual == "image":
    drawn = _grounded(task, row, record)
  else:
    clips = sum("video" in key for key in task.media_keys("train"))
    drawn = pictures.contact_sheet(record.frames, clips)
  return pictures.jpeg(drawn)


def _grounded(task: tasks.Task, row: dict, record: records.Record):
  """The image with the true and the answered object outlined."""
  answer = answers.parse(task, row.get("text"))
  truth = pictures.true_mask(record)
  box = references.read(task, row["reference"]).box
  if box is None and truth is not None:
    box = masks.extent(truth)
  said = masks.from_rle(row["mask"]) if row.get("mask") else None
  return pictures.grounding(
    record.frames[0], truth, box, answer.box, answer.points, said=said
  )


def _question(row: dict) -> str:
  """The words that differ between samples of a task, if there are any."""
  fields = row.get("question") or {}
  words = [str(fields[k]) for k in ("question", "description") if k in fields]
  if "options" in fields:
    words.append(" / ".join(references.fields(fields["options"])))
  return " — ".join(words)


def pieces(text: str) -> list[tuple[str, bool]]:
  """An answer as (text, whether it stood in a tag), cut to what is shown."""
  shown = text[:_TEXT_LIMIT] + (" …" if len(text) > _TEXT_LIMIT else "")
  found, end = [], 0
  for match in _TAGS.finditer(shown):
    found += [(shown[end : match.start()], False), (match.group(2), True)]
    end = match.end()
  return [piece for piece in (*found, (shown[end:], False)) if piece[0]]


def _notes(row: dict, answer: answers.Answer) -> list[str]:
  if not row.get("text"):
    return []  # the card says that there is no text
  # As it was scored: without the task's labels it may be read otherwise.
  said = row.get("parsed") or answer.to_json()
  failure = [said["failure"]] if "failure" in said else []
  unread = [*failure, *said.get("unread", ())]
  lenient = said.get("leniency", ())
  return [
    *(f"not read: {name}" for name in unread),
    *(f"lenient: {name}" for name in lenient),
  ]


def in_words(task: tasks.Task, answer: answers.Answer) -> str:
  """An answer in one line."""
  if answer.kind == "events":
    spans = [
      f"{e.label} {e.start:g}–{e.end:g} s"
      + ("" if e.modality == "both" else f" ({e.modality})")
      for e in answer.events
    ]
    return " · ".join(spans) or "no event"
  if answer.exists is False:
    return "the object is not there"
  if answer.kind in ("place", "existence"):
    if answer.box:
      return f"box {list(answer.box)}"
    return "the green outline" if task.mask else "the object is there"
  return answer.label or answer.caption or ""

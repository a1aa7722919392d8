"""From the text of an answer to its structure, for every format of AV-UIE v2.

The form of a task's answers is its `Task.kind`:

  label       `<answer>X</answer>`: the last complete pair wins. Of AV-UIE v2
              the matching, action, emotion and QA sets.
  events      labels with intervals of seconds, see `intervals`. Localization
              sets.
  place       a box and points, see `coordinates`. Segmentation sets.
  existence   `<answer>true</answer>` or `<answer>false</answer>`; of a task
              with masks (`Task.mask`), "true" in front of a place. Ref-AVS.
  caption     the text itself. Captioning.

Other spellings are read where their meaning is beyond doubt, and each such
leniency is named in `Answer.leniency`. Text after `</s>` is cut. A text that
cannot be parsed gives an answer with `failure`, never an exception; the scorers
count it as wrong. Every function is linear in the length of the text: patterns
have bounded repeats.
"""

import dataclasses
import re

from crab_jax.data import tasks
from crab_jax.evaluation.reading import coordinates
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels

_LABEL_LIMIT = 200  # characters; a longer label is not a label
_UNTAGGED_WORDS = 4  # an answer without tags may have so many words

_GAP = r"\s{0,4}"
_ANSWER_TAG = re.compile(
  rf"<{_GAP}(/?){_GAP}answer{_GAP}>", re.IGNORECASE | re.ASCII
)
_ENDS = ("</s>", "<|im_end|>")


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a text says. Only the fields of its kind are set."""

  kind: str  # "label", "events", "place", "existence" or "caption"
  label: str | None = None
  events: tuple[intervals.Event, ...] = ()
  exists: bool | None = None
  box: coordinates.Box | None = None
  points: tuple[coordinates.Point, ...] = ()
  caption: str | None = None
  failure: str | None = None  # why it could not be read
  leniency: tuple[str, ...] = ()  # names of the leniency that it needed

  def to_json(self) -> dict:
    """The fields that say something, as plain JSON values."""
    said = {name: value for name, value in vars(self).items() if value}
    if self.exists is not None:
      said["exists"] = self.exists
    if self.events:
      said["events"] = [dict(vars(event)) for event in self.events]
    return said


def parse(task: tasks.Task, text: str | None) -> Answer:
  """Reads the answer of a task; never raises for any text."""
  if text is None:
    return Answer(task.kind, failure="missing")
  text = cut(text)
  if not text.strip():
    return Answer(task.kind, failure="empty")
  if task.kind == "existence":
    return parse_existence(text, placed=task.mask is not None)
  return _PARSERS[task.kind](text)


def cut(text: str) -> str:
  """The text before the first end-of-sequence mark that leaked into it."""
  for end in _ENDS:
    text = text.split(end, 1)[0]
  return text


def parse_label(text: str) -> Answer:
  """Reads `<answer>X</answer>`, the last complete pair."""
  label, leniency = _tagged(text)
  if label is None:
    return Answer("label", failure="no_answer")
  label = label.strip(" \t\r\n.\"'")
  if not label:
    return Answer("label", failure="empty", leniency=leniency)
  if len(label) > _LABEL_LIMIT:
    return Answer("label", failure="too_long", leniency=leniency)
  return Answer("label", label=label, leniency=leniency)


def _tagged(text: str) -> tuple[str | None, tuple[str, ...]]:
  """The content of the answer tags, and the leniency that it needed."""
  found, opening = None, None
  for tag in _ANSWER_TAG.finditer(text):
    if not tag[1]:
      opening = tag
    elif opening is not None:
      found, opening = (opening, tag), None
  if found:
    plain = found[0][0] == "<answer>" and found[1][0] == "</answer>"
    content = text[found[0].end() : found[1].start()]
    return content, () if plain else ("tag_style",)
  if opening is not None:  # cut off, or never closed: up to the line's end
    content = text[opening.end() :].lstrip()
    return re.split(r"[<\n]", content, maxsplit=1)[0], ("unclosed",)
  if len(text) <= _LABEL_LIMIT and len(text.split()) <= _UNTAGGED_WORDS:
    return text, ("untagged",)
  return None, ()


def parse_events(text: str) -> Answer:
  """Reads `<event>`, `<visual>` and `<audio>` blocks."""
  leniency: set[str] = set()
  events, failure = intervals.read(text, leniency)
  return Answer(
    "events",
    events=tuple(events),
    failure=failure,
    leniency=tuple(sorted(leniency)),
  )


def parse_place(text: str) -> Answer:
  """Reads the first box and the last three points."""
  leniency: set[str] = set()
  box, failure = coordinates.read_box(text, leniency)
  points = coordinates.read_points(text, leniency)
  if box is None and failure is None:
    failure = "no_box"
  return Answer(
    "place",
    box=box,
    points=points,
    failure=failure,
    leniency=tuple(sorted(leniency)),
  )


def parse_existence(text: str, placed: bool = True) -> Answer:
  """Reads true or false, and the place where it is true.

  Args:
    text: not blank.
    placed: whether the answer must say where; else a place is read if there
      is one.
  """
  said, leniency = _existence(text)
  if said is None:
    return Answer("existence", failure="no_true_false")
  if not said:
    return Answer("existence", exists=False, leniency=leniency)
  place = parse_place(text)
  return dataclasses.replace(
    place,
    kind="existence",
    exists=True,
    failure=place.failure if placed else None,
    leniency=tuple(sorted({*leniency, *place.leniency})),
  )


def _existence(text: str) -> tuple[bool | None, tuple[str, ...]]:
  content, leniency = _tagged(text)
  if content is None:  # untagged: the first word may say it
    content, leniency = text.split(maxsplit=1)[0], ("untagged",)
  word = content[:_LABEL_LIMIT]
  canonical = labels.canonical(word, "existence")
  if canonical not in ("true", "false"):
    return None, leniency
  if labels.key(word) != canonical:
    leniency = tuple(sorted({*leniency, "synonym"}))
  return canonical == "true", leniency


def parse_caption(text: str) -> Answer:
  return Answer("caption", caption=text.strip())


_PARSERS = {
  "label": parse_label,
  "events": parse_events,
  "place": parse_place,
  "caption": parse_caption,
}

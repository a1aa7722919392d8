"""From the text of an answer to its structure, for every format of AV-UIE v2.

The form of a task's answers is its `Task.kind`:

  label       `<answer>X</answer>`: the last complete pair wins. Of AV-UIE v2
              the matching, action, emotion and QA sets.
  events      `<event>label, (s e)(s e)</event>`, any number of blocks, each
              with any number of intervals `(s e)`, `(s,e)` or `[s,e]` in
              seconds; `<visual>` and `<audio>` blocks say the modality, an
              `<event>` is both seen and heard. The label ends at the last
              comma before the first interval. `<event>none</event>` says that
              nothing happens. `<event>X</event> <range>s,e</range>`, the form
              of the older Crab, is read as leniency. Localization sets.
  place       a box and points, see `coordinates`. Segmentation sets.
  existence   `<answer>true</answer>` or `<answer>false</answer>`; of a task
              with masks (`Task.mask`), "true" in front of a place. Ref-AVS.
  caption     the text itself. Captioning.

Other spellings are read where their meaning is beyond doubt, and each such
kindness is named in `Answer.leniency`. Text after `</s>` is cut. What cannot be read gives an answer
with `failure`, never an exception; the scorers count it as wrong. Every
function is linear in the length of the text: patterns have bounded repeats.
"""

import dataclasses
import itertools
import re

from crab_jax.data import tasks
from crab_jax.evaluation.reading import coordinates
from crab_jax.evaluation.reading import labels

_LABEL_LIMIT = 200  # characters; a longer label is not a label
_UNTAGGED_WORDS = 4  # an answer without tags may have so many words

_FLAGS = re.IGNORECASE | re.ASCII
_NUMBER = r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_GAP = r"\s{0,4}"
_ANSWER_TAG = re.compile(rf"<{_GAP}(/?){_GAP}answer{_GAP}>", _FLAGS)
_EVENT_TAG = re.compile(
  rf"<{_GAP}(/?){_GAP}(event|visual|audio|range){_GAP}>", _FLAGS
)
_UNIT = rf"{_GAP}(?:seconds|second|secs|sec|s)?{_GAP}"
_INTERVAL = re.compile(
  rf"[(\[]{_GAP}({_NUMBER}){_UNIT}(?:,|;|-|–|—|~|to)?{_GAP}"
  rf"({_NUMBER}){_UNIT}[)\]]",
  re.IGNORECASE,
)
_PLAIN_INTERVAL = re.compile(r"\(\d+ \d+\)|\(\d+,\d+\)|\[\d+,\d+\]", re.ASCII)
_ENDS = ("</s>", "<|im_end|>")


@dataclasses.dataclass(frozen=True)
class Event:
  """One interval of one label. Times in seconds, half-open [start, end)."""

  label: str
  start: float
  end: float
  modality: str = "both"  # "visual", "audio" or "both"


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a text says. Only the fields of its kind are set."""

  kind: str  # "label", "events", "place", "existence" or "caption"
  label: str | None = None
  events: tuple[Event, ...] = ()
  exists: bool | None = None
  box: coordinates.Box | None = None
  points: tuple[coordinates.Point, ...] = ()
  caption: str | None = None
  failure: str | None = None  # why it could not be read
  leniency: tuple[str, ...] = ()  # the kindnesses that reading it took

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
  """The content of the answer tags, and the leniency it took."""
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
  events, leniency, said_none = [], set(), False
  blocks = _blocks(text, leniency)
  for name, content in blocks:
    found = _block_events(content, name, leniency)
    events += found
    said_none |= not found and labels.canonical(content, "none") == "none"
  failure = None
  if not blocks:
    failure = "no_event"
  elif not events and not said_none:
    failure = "no_interval"
  return Answer(
    "events",
    events=tuple(events),
    failure=failure,
    leniency=tuple(sorted(leniency)),
  )


def _blocks(text: str, leniency: set[str]) -> list[tuple[str, str]]:
  """(tag, content) of every block; a `<range>` joins the block before it."""
  tags = list(_EVENT_TAG.finditer(text))
  blocks: list[tuple[str, str]] = []
  for tag, after in itertools.zip_longest(tags, tags[1:]):
    if tag[1]:
      continue
    name = tag[2].lower()
    content = text[tag.end() : after.start() if after else len(text)]
    if not (after and after[1] and after[2].lower() == name):
      leniency.add("unclosed")
    elif tag[0] != f"<{name}>":
      leniency.add("tag_style")
    if name != "range":
      blocks.append((name, content))
    elif blocks:
      leniency.add("range_tag")
      event = blocks[-1][1][:_LABEL_LIMIT].strip()
      blocks[-1] = (blocks[-1][0], f"{event}, ({content[:_LABEL_LIMIT]})")
  return blocks


def _block_events(content: str, name: str, leniency: set[str]) -> list[Event]:
  """The events of one block; adds to the set what reading it took."""
  intervals = list(_INTERVAL.finditer(content))
  if not intervals:
    return []
  label = content[: intervals[0].start()].strip()
  if not label.endswith(","):
    leniency.add("no_comma")
  label = label.strip(" \t\r\n,.:;\"'")
  if not label or len(label) > _LABEL_LIMIT:
    leniency.add("no_label")
    return []
  modality = "both" if name == "event" else name
  events = []
  for interval in intervals:
    if not _PLAIN_INTERVAL.fullmatch(interval[0]):
      leniency.add("interval_style")
    start, end = float(interval[1]), float(interval[2])
    if 0 <= start < end:
      events.append(Event(label, start, end, modality))
    else:
      leniency.add("bad_interval_dropped")
  return events


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

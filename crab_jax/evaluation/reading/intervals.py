"""Labels with intervals of seconds in a text: the events of a clip.

What is read: `<event>label, (s e)(s e)</event>`, any number of blocks, each
with any number of intervals (`times`) in seconds; `<visual>` and `<audio>`
blocks say the modality, an `<event>` is both seen and heard. The label ends at
the last comma before the first interval. `<event>none</event>` says that
nothing happens. `<event>X</event> <range>s,e</range>`, the form of the older
Crab, is read too, and so is a block with several labels,
`<event>dog (3 7), cat (8 9)</event>`.

Everything that is said becomes an event or is named in `unread`. An interval
that ends where it starts, or before, is both: an event without a length, which
no true event overlaps, so that a metric counts it as a false positive.
"""

import dataclasses
import itertools
import re

from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import times

_LABEL_LIMIT = 200  # characters; a longer label is not a label

_GAP = r"\s{0,4}"
_TAG = re.compile(
  rf"<{_GAP}(/?){_GAP}(event|visual|audio|range){_GAP}>",
  re.IGNORECASE | re.ASCII,
)
# What may stand between two intervals of one label.
_FILLING = re.compile(
  r"(?:[\s,.:;&/|*_\"'()\[\]{}<>+-]|\b(?:and|then|also|again|or|plus|at|in)\b)"
  r"{0,40}",
  re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Event:
  """One interval of one label. Times in seconds, half-open [start, end)."""

  label: str
  start: float
  end: float
  modality: str = "both"  # "visual", "audio" or "both"


def read(
  text: str, leniency: set[str], unread: list[str]
) -> tuple[list[Event], str | None]:
  """The events of a text.

  Args:
    text: any text.
    leniency: names of the leniency that they need are added here.
    unread: a name for each thing that is said and cannot be read is added
      here.

  Returns:
    The events in the order of the text; and why no interval with a length
    could be read, unless the text says that nothing happens.
  """
  events: list[Event] = []
  blocks, outside = _blocks(text, leniency, unread)
  said_none = 0
  for name, content in blocks:
    said_none += _says_none(content)
    events += _block_events(content, name, leniency, unread)
  if not blocks:
    return [], "no_event"
  unread += ["interval_outside_tags"] * sum(1 for _ in times.find(outside))
  if events:
    unread += ["none_beside_events"] * said_none
  if said_none or any(event.start < event.end for event in events):
    return events, None
  return events, "no_interval"


def _says_none(content: str) -> bool:
  # Cut, as the words of the table are short and a label may be a megabyte.
  return labels.canonical(content[:_LABEL_LIMIT], "none") == "none"


def _blocks(
  text: str, leniency: set[str], unread: list[str]
) -> tuple[list[tuple[str, str]], str]:
  """(tag, content) of every block, and the text behind the first of them.

  A `<range>` joins the block before it. The text behind is what stands
  outside of all blocks.
  """
  tags = list(_TAG.finditer(text))
  blocks: list[tuple[str, str]] = []
  outside: list[str] = []
  opened: str | None = None
  for tag, after in itertools.zip_longest(tags, tags[1:]):
    content = text[tag.end() : after.start() if after else len(text)]
    name = tag[2].lower()
    if tag[1]:
      outside.append(content)
      unread += ["stray_closing_tag"] * (opened != name)
      opened = None
      continue
    # The next tag must close it: blocks do not nest.
    if after is None or not after[1] or after[2].lower() != name:
      leniency.add("unclosed")
    elif (tag[0], after[0]) != (f"<{name}>", f"</{name}>"):
      leniency.add("tag_style")
    # A closing tag of another name closes the block all the same.
    opened = after[2].lower() if after else None
    if name != "range":
      blocks.append((name, content))
    elif blocks:
      leniency.add("range_tag")
      # Cut, so that many ranges behind one block stay linear in the text.
      unread += ["long_range"] * (len(content) > _LABEL_LIMIT)
      event = blocks[-1][1][:_LABEL_LIMIT].strip()
      blocks[-1] = (blocks[-1][0], f"{event}, ({content[:_LABEL_LIMIT]})")
    else:
      unread.append("range_without_event")
  return blocks, " ".join(outside)


def _block_events(
  content: str, name: str, leniency: set[str], unread: list[str]
) -> list[Event]:
  """The events of one block; adds leniency, and what it cannot read."""
  found = list(times.find(content))
  pieces = _pieces(content, found)
  if any(piece.strip() for piece in pieces[1:]):
    leniency.add("interval_style")  # exact ones follow each other
  if not found:
    if not _says_none(content):
      unread.append("no_interval")
    return []
  events = []
  said = _labels(pieces, leniency, unread)
  for label, interval in zip(said, found, strict=True):
    if not interval.exact:
      leniency.add("interval_style")
    if not label or len(label) > _LABEL_LIMIT:
      unread.append("no_label")
      continue
    start, end = interval.start, interval.end
    if start < 0:
      leniency.add("clamped")
      start, end = 0.0, max(end, 0.0)
    if start >= end:
      unread.append("empty_interval" if start == end else "reversed_interval")
    modality = "both" if name == "event" else name
    events.append(Event(label, start, end, modality))
  return events


def _pieces(content: str, found: list[times.Interval]) -> list[str]:
  """What stands before, between and behind the intervals of a block."""
  ends = [0, *(interval.span[1] for interval in found)]
  starts = [*(interval.span[0] for interval in found), len(content)]
  return [content[a:b] for a, b in zip(ends, starts, strict=True)]


def _labels(
  pieces: list[str], leniency: set[str], unread: list[str]
) -> list[str]:
  """The label of each interval, by the text around the intervals."""
  first = pieces[0].strip()
  names = [first.rstrip(" \t\r\n,.:;\"'([{<").lstrip(" \t\r\n,.:;\"'")]
  names += [_without_filling(piece) for piece in pieces[1:]]
  if names[0]:
    if not first.endswith(","):
      leniency.add("no_comma")
    unread += ["no_interval"] * bool(names.pop())
    if any(names[1:]):
      leniency.add("several_labels")
    # A label is that of all the intervals up to the next label.
    return _carried(names)
  # Labels that stand behind their intervals.
  names = names[1:]
  if any(names):
    leniency.add("label_behind")
  return _carried(names[::-1])[::-1]


def _carried(names: list[str]) -> list[str]:
  """The names with the one before in the place of each empty one."""
  found: list[str] = []
  for name in names:
    found.append(name or (found[-1] if found else ""))
  return found


def _without_filling(piece: str) -> str:
  """A label between intervals without the words and signs around it."""
  begin = _FILLING.match(piece)
  piece = piece[begin.end() if begin else 0 :]
  return piece.rstrip(" \t\r\n,.:;\"'([{<&/|*-")

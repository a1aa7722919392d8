"""Labels with intervals of seconds in a text: the events of a clip.

What is read: `<event>label, (s e)(s e)</event>`, any number of blocks, each
with any number of intervals `(s e)`, `(s,e)` or `[s,e]` in seconds; `<visual>`
and `<audio>` blocks say the modality, an `<event>` is both seen and heard. The
label ends at the last comma before the first interval. `<event>none</event>`
says that nothing happens. `<event>X</event> <range>s,e</range>`, the form of
the older Crab, is read too. Patterns have bounded repeats, so a text is read in
linear time.
"""

import dataclasses
import itertools
import re

from crab_jax.evaluation.reading import labels

_LABEL_LIMIT = 200  # characters; a longer label is not a label

_GAP = r"\s{0,4}"
_NUMBER = r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_TAG = re.compile(
  rf"<{_GAP}(/?){_GAP}(event|visual|audio|range){_GAP}>",
  re.IGNORECASE | re.ASCII,
)
_UNIT = rf"{_GAP}(?:seconds|second|secs|sec|s)?{_GAP}"
_INTERVAL = re.compile(
  rf"[(\[]{_GAP}({_NUMBER}){_UNIT}(?:,|;|-|–|—|~|to)?{_GAP}"
  rf"({_NUMBER}){_UNIT}[)\]]",
  re.IGNORECASE,
)
_PLAIN_INTERVAL = re.compile(r"\(\d+ \d+\)|\(\d+,\d+\)|\[\d+,\d+\]", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Event:
  """One interval of one label. Times in seconds, half-open [start, end)."""

  label: str
  start: float
  end: float
  modality: str = "both"  # "visual", "audio" or "both"


def read(text: str, leniency: set[str]) -> tuple[list[Event], str | None]:
  """The events of a text.

  Args:
    text: any text.
    leniency: names of the leniency that they need are added here.

  Returns:
    The events in the order of the text; and why there are none, unless the
    text says that nothing happens.
  """
  events, said_none = [], False
  blocks = _blocks(text, leniency)
  for name, content in blocks:
    found = _block_events(content, name, leniency)
    events += found
    said_none |= not found and labels.canonical(content, "none") == "none"
  if not blocks:
    return [], "no_event"
  return events, None if events or said_none else "no_interval"


def _blocks(text: str, leniency: set[str]) -> list[tuple[str, str]]:
  """(tag, content) of every block; a `<range>` joins the block before it."""
  tags = list(_TAG.finditer(text))
  blocks: list[tuple[str, str]] = []
  for tag, after in itertools.zip_longest(tags, tags[1:]):
    if tag[1]:
      continue
    name = tag[2].lower()
    content = text[tag.end() : after.start() if after else len(text)]
    # The next tag must close it: blocks do not nest.
    if not (after and after[1] and after[2].lower() == name):
      leniency.add("unclosed")
    elif tag[0] != f"<{name}>":
      leniency.add("tag_style")
    if name != "range":
      blocks.append((name, content))
    elif blocks:
      leniency.add("range_tag")
      # Cut, so that many ranges behind one block stay linear in the text.
      event = blocks[-1][1][:_LABEL_LIMIT].strip()
      blocks[-1] = (blocks[-1][0], f"{event}, ({content[:_LABEL_LIMIT]})")
  return blocks


def _block_events(content: str, name: str, leniency: set[str]) -> list[Event]:
  """The events of one block; adds to the set the leniency that it needs."""
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

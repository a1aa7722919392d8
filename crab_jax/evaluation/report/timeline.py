"""A timeline of true and answered events: numbers for an SVG.

A row for each label and modality; the true events above, the answered ones
below. Lengths are in units of the SVG's viewBox.
"""

import dataclasses

from crab_jax.evaluation.reading import intervals

_ROWS = 12  # rows that are drawn; an endless answer names hundreds of labels
_NAME = 17  # characters of a label that fit left of the bars
_LEFT, _WIDTH, _ROW = 104, 196, 30  # left margin, width of the bars, row height
_SHORTEST = 10.0  # seconds; the clips of most datasets last so long
_COLOURS = ("#4269d0", "#ff725c", "#3ca951", "#a463f2", "#efb118", "#6cc5b0")
_VERBS = {"both": "", "visual": "see ", "audio": "hear "}

Events = tuple[intervals.Event, ...]


@dataclasses.dataclass(frozen=True)
class Bar:
  """One event: its left end, its width, and whether it is answered or true."""

  x: float
  width: float
  answered: bool


@dataclasses.dataclass(frozen=True)
class Row:
  """One label and modality: its name, top, colour and bars."""

  name: str
  y: int
  colour: str
  bars: list[Bar]


@dataclasses.dataclass(frozen=True)
class Timeline:
  """The whole drawing.

  Attributes:
    rows: at most `_ROWS` of them.
    more: labels that are not drawn.
    left: left end of the bars.
    bottom: end of the rows; the seconds are below.
    ticks: (x, second) of the axis.
    width, height: of the viewBox.
  """

  rows: list[Row]
  more: int
  left: int
  bottom: int
  ticks: list[tuple[float, int]]
  width: int
  height: int


def draw(truth: Events, answered: Events) -> Timeline | None:
  """The timeline of a reference and an answer; None without any event."""
  every = list(dict.fromkeys(_name(event) for event in (*truth, *answered)))
  if not every:
    return None
  end = max(_SHORTEST, *(event.end for event in (*truth, *answered)))
  rows = [
    Row(
      name[:_NAME],
      i * _ROW,
      _COLOURS[i % len(_COLOURS)],
      [
        *_bars(truth, name, end, answered=False),
        *_bars(answered, name, end, answered=True),
      ],
    )
    for i, name in enumerate(every[:_ROWS])
  ]
  more = len(every) - len(rows)
  bottom = (len(rows) + (more > 0)) * _ROW
  step = 1 if end <= 12 else 5
  ticks = [(_x(second, end), second) for second in range(0, int(end) + 1, step)]
  return Timeline(
    rows, more, _LEFT, bottom, ticks, _LEFT + _WIDTH + 12, bottom + 16
  )


def _name(event: intervals.Event) -> str:
  return _VERBS[event.modality] + event.label


def _x(second: float, end: float) -> float:
  return _LEFT + second * _WIDTH / end


def _bars(events: Events, name: str, end: float, answered: bool) -> list[Bar]:
  # An answered event may end before it starts: no SVG has a negative width.
  return [
    Bar(
      _x(event.start, end),
      max(event.end - event.start, 0) * _WIDTH / end,
      answered,
    )
    for event in events
    if _name(event) == name
  ]

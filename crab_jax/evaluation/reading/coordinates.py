"""Boxes and points in a text, in the 224 x 224 frame.

Of the lists of numbers in a text those of four are boxes and those of two are
points. Exact, as the official scripts of Crab+ write them, are `[x1,y1,x2,y2]`,
`<obj>(x1,y1)(x2,y2)</obj>` and `[x,y]`. Read with leniency: other brackets and
separators, names (`x1=10`), signs, decimals, two corners in a bracket
(`[[x1,y1],[x2,y2]]`), tags of other models
(`<|box_start|>(x1,y1),(x2,y2)<|box_end|>`) and four numbers without brackets.
Corners are put in order, then clamped to 0..223.

The first exact box counts; without one the first in square brackets or tags;
without one the first in round brackets, then without any. Of the points the
last three count, as in the official scripts. What else is a list of numbers is
named in `unread`. Patterns have bounded repeats, so a text is read in linear
time.
"""

import dataclasses
import re
from collections.abc import Iterator

from crab_jax import configs

_LAST = configs.COORDINATE_SIZE - 1
_POINTS = 3  # that count
_GAP = r"\s{0,4}"
# Whole numbers only, and not the digit of a name such as x1.
_NUMBER = r"(?<![\w.])-?[0-9]{1,6}(?:\.[0-9]{1,6})?(?![0-9]|\.[0-9])"
_NAME = rf"(?:[\"']?[a-z]\w{{0,9}}[\"']?{_GAP}[:=]{_GAP})?"
_ITEM = rf"{_NAME}{_NUMBER}(?:{_GAP}px)?"
_COMMA = rf"(?:{_GAP}[,;]{_GAP}|\s{{1,4}})"
_PAIR = rf"[(\[{{]{_GAP}{_ITEM}{_COMMA}{_ITEM}{_GAP}[)\]}}]"
_TAG = r"(?:obj|box|bbox|\|box_start\||\|box_end\|)"
_LISTS = re.compile(
  rf"<{_GAP}{_TAG}{_GAP}>(?P<tagged>[-0-9.,;()\[\]\s]{{3,120}}?)"
  rf"<{_GAP}/?{_GAP}{_TAG}{_GAP}>"
  rf"|[(\[{{]{_GAP}(?P<corners>{_PAIR}(?:{_GAP},)?{_GAP}{_PAIR}){_GAP}[)\]}}]"
  rf"|[(\[{{]{_GAP}(?P<list>{_ITEM}(?:{_COMMA}{_ITEM}){{1,31}}){_GAP}[)\]}}]"
  rf"|(?<![\w.,;-])(?P<bare>{_ITEM}(?:{_GAP}[,;]{_GAP}{_ITEM}){{3}})(?![\w,;])",
  re.IGNORECASE | re.ASCII,
)
_EXACT_BOX = re.compile(
  r"\[\d+,\d+,\d+,\d+\]|<obj>\(\d+,\d+\)\(\d+,\d+\)</obj>", re.ASCII
)
_EXACT_POINT = re.compile(r"\[\d+,\d+\]", re.ASCII)
_NUMBERS = re.compile(_NUMBER, re.ASCII)

Box = tuple[int, int, int, int]  # x1, y1, x2, y2; both corners inside
Point = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Place:
  """A box in 0..223 or why there is none, and at most three points."""

  box: Box | None
  failure: str | None
  points: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class _List:
  """A list of numbers as it is written."""

  text: str
  numbers: tuple[float, ...]
  enclosed: bool  # by tags: two points in them are corners

  @property
  def rank(self) -> int:
    """The smallest is the box that is meant."""
    if _EXACT_BOX.fullmatch(self.text):
      return 0
    return {"[": 1, "{": 1, "<": 1, "(": 2}.get(self.text[0], 3)


def read(text: str, leniency: set[str], unread: list[str]) -> Place:
  """The place that a text names.

  Args:
    text: any text.
    leniency: names of the leniency that it needs are added here.
    unread: a name for each list of numbers that is neither the box nor one
      of the points is added here.
  """
  lists = list(_lists(text))
  boxes = [found for found in lists if len(found.numbers) == 4]
  points = [
    found for found in lists if len(found.numbers) == 2 and not found.enclosed
  ]
  unread += ["number_list"] * (len(lists) - len(boxes) - len(points))
  unread += ["further_point"] * max(len(points) - _POINTS, 0)
  box: Box | None = None
  failure: str | None = "no_box"
  if boxes:
    chosen = min(boxes, key=lambda found: found.rank)  # the first of equals
    # What is said twice is said: reasoning may name the box before.
    other = [found for found in boxes if found.numbers != chosen.numbers]
    unread += ["further_box"] * len(other)
    box, failure = _box(chosen, leniency)
  last = [_point(point, leniency) for point in points[-_POINTS:]]
  return Place(box, failure, tuple(last))


def _lists(text: str) -> Iterator[_List]:
  for match in _LISTS.finditer(text):
    inside = next(part for part in match.groups() if part is not None)
    numbers = tuple(map(float, _NUMBERS.findall(inside)))
    yield _List(match[0], numbers, match["tagged"] is not None)


def _box(found: _List, leniency: set[str]) -> tuple[Box | None, str | None]:
  """The box of four numbers, or why they are none."""
  if found.rank:
    leniency.add("box_style")
  if all(0 <= n <= 1 for n in found.numbers) and "." in found.text:
    return None, "box_of_fractions"  # of a frame whose size nobody tells
  numbers = [round(n) for n in found.numbers]
  (x1, x2), (y1, y2) = sorted(numbers[0::2]), sorted(numbers[1::2])
  if [x1, y1, x2, y2] != numbers:
    leniency.add("corners_reordered")
  x1, y1, x2, y2 = (_clamp(value, leniency) for value in (x1, y1, x2, y2))
  if x1 >= x2 or y1 >= y2:
    return None, "empty_box"
  return (x1, y1, x2, y2), None


def _point(found: _List, leniency: set[str]) -> Point:
  if not _EXACT_POINT.fullmatch(found.text):
    leniency.add("point_style")
  x, y = (_clamp(round(n), leniency) for n in found.numbers)
  return x, y


def _clamp(value: int, leniency: set[str]) -> int:
  inside = min(max(value, 0), _LAST)
  if inside != value:
    leniency.add("clamped")
  return inside

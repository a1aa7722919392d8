"""Boxes and points in a text, in the 224 x 224 frame.

What is read: the first `[x1,y1,x2,y2]` or `<obj>(x1,y1)(x2,y2)</obj>` is the
box, and of the two-entry lists `[x,y]` the last three are the points, as in
the official scripts of Crab+. Spaces, round brackets, signs and
decimals are read too; corners are put in order, then clamped to 0..223; all
of this is counted as leniency. Patterns have bounded repeats, so a text is
read in linear time.
"""

import re

from crab_jax import configs

_LAST = configs.COORDINATE_SIZE - 1
_GAP = r"\s{0,4}"
_NUMBER = r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_COMMA = rf"{_GAP},{_GAP}"
_BOX = re.compile(
  rf"[(\[]{_GAP}({_NUMBER}){_COMMA}({_NUMBER}){_COMMA}({_NUMBER}){_COMMA}"
  rf"({_NUMBER}){_GAP}[)\]]",
  re.ASCII,
)
_PLAIN_BOX = re.compile(r"\[\d+,\d+,\d+,\d+\]", re.ASCII)
_OBJECT = re.compile(
  rf"<{_GAP}obj{_GAP}>{_GAP}"
  rf"\({_GAP}({_NUMBER}){_COMMA}({_NUMBER}){_GAP}\){_GAP},?{_GAP}"
  rf"\({_GAP}({_NUMBER}){_COMMA}({_NUMBER}){_GAP}\){_GAP}"
  rf"<{_GAP}/{_GAP}obj{_GAP}>",
  re.IGNORECASE | re.ASCII,
)
_PLAIN_OBJECT = re.compile(r"<obj>\(\d+,\d+\)\(\d+,\d+\)</obj>", re.ASCII)
_POINT = re.compile(
  rf"[(\[]{_GAP}({_NUMBER}){_COMMA}({_NUMBER}){_GAP}[)\]]", re.ASCII
)
_PLAIN_POINT = re.compile(r"\[\d+,\d+\]", re.ASCII)


Box = tuple[int, int, int, int]  # x1, y1, x2, y2; both corners inside
Point = tuple[int, int]


def read_box(text: str, leniency: set[str]) -> tuple[Box | None, str | None]:
  """The first box of a text.

  Args:
    text: any text.
    leniency: names of the leniency that it needs are added here.

  Returns:
    The box in 0..223 or None; and why there is none, if one was written.
  """
  box, obj = _BOX.search(text), _OBJECT.search(text)
  matches = [match for match in (box, obj) if match]
  if not matches:
    return None, None
  found = min(matches, key=lambda match: match.start())
  plain = _PLAIN_BOX if found is box else _PLAIN_OBJECT
  if not plain.fullmatch(found[0]):
    leniency.add("box_style")
  numbers = [round(float(number)) for number in found.groups()]
  (x1, x2), (y1, y2) = sorted(numbers[0::2]), sorted(numbers[1::2])
  if [x1, y1, x2, y2] != numbers:
    leniency.add("corners_reordered")
  x1, y1, x2, y2 = (_clamp(value, leniency) for value in (x1, y1, x2, y2))
  if x1 >= x2 or y1 >= y2:
    return None, "empty_box"
  return (x1, y1, x2, y2), None


def read_points(text: str, leniency: set[str]) -> tuple[Point, ...]:
  """The last three points of a text; the corners of an `<obj>` are none.

  Args:
    text: any text.
    leniency: names of the leniency that they need are added here.
  """
  obj = _OBJECT.search(text)
  inside = obj.span() if obj else (0, 0)
  found = [
    point
    for point in _POINT.finditer(text)
    if not inside[0] <= point.start() < inside[1]
  ]
  if not all(_PLAIN_POINT.fullmatch(point[0]) for point in found[-3:]):
    leniency.add("point_style")
  return tuple(_point(point, leniency) for point in found[-3:])


def _point(match: re.Match[str], leniency: set[str]) -> Point:
  x, y = (_clamp(round(float(number)), leniency) for number in match.groups())
  return x, y


def _clamp(value: int, leniency: set[str]) -> int:
  inside = min(max(value, 0), _LAST)
  if inside != value:
    leniency.add("clamped")
  return inside

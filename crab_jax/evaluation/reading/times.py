"""Intervals of seconds in a text, in the ways that people write them.

  exact      (3 7)  (3,7)  [3,7]: the forms of AV-UIE v2
  enclosed   (3s - 7s)  [0:03, 0:07]  {3; 7}  (start=3, end=7)
  worded     from 3 to 7  3-7 seconds  0:03 to 0:07  start 3, end 7
  listed     3, 7  or  3 7  behind a comma or a colon, up to the next one

A time is a number of seconds with or without its unit, a clock (`0:03`,
`1:02:03.5`) or minutes (`1 min 5 s`). Patterns have bounded repeats, so a text
is read in linear time.
"""

import dataclasses
import re
from collections.abc import Iterator

_GAP = r"\s{0,4}"
# No letter behind; or the sign of a second.
_SECONDS = r"(?:(?:seconds|second|secs|sec|s)(?![^\W\d_])|\"|″|秒)"
_MINUTES = r"(?:minutes|minute|mins|min|m)(?![^\W\d_])"
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
# Alternatives from the longest to the shortest: a clock begins like a number.
_TIME = (
  r"(?:[0-9]{1,3}(?::[0-5][0-9]){1,2}(?:\.[0-9]{1,6})?"
  rf"|[0-9]{{1,3}}{_GAP}{_MINUTES}(?:{_GAP}{_NUMBER}{_GAP}{_SECONDS})?"
  rf"|-?{_NUMBER})(?![0-9])(?:{_GAP}{_SECONDS})?"
)
_NAME_END = rf"(?:[ _]?times?|s)?{_GAP}[:=]?{_GAP}"
_FIRST = rf"(?:from|between|start|begin|onset){_NAME_END}(?:seconds?{_GAP})?"
_LEAD = rf"(?:at|in|during|t|times?|range|seconds?){_GAP}[:=]?{_GAP}"
_SECOND = rf"(?:(?:end|stop|offset){_NAME_END}|seconds?{_GAP})"
_DASH = r"(?:->|=>|→|-{1,3}|–|—|~|\.{2,3}|…|to|until|till|through)"
_JOIN = rf"(?:{_GAP}(?:,|;|and|{_DASH}){_GAP}|\s{{1,4}})"
_INTERVAL = re.compile(
  # Enclosed.
  rf"[(\[{{]{_GAP}(?:{_FIRST}|{_LEAD})?(?P<a>{_TIME}){_JOIN}(?:{_SECOND})?"
  rf"(?P<b>{_TIME}){_GAP}[)\]}}](?:{_GAP}{_SECONDS})?"
  # Worded: a dash or a word between, or a name before each time.
  rf"|(?<![\w.:-])(?:(?:{_FIRST}|{_LEAD})?(?P<c>{_TIME}){_GAP}{_DASH}{_GAP}"
  rf"(?:{_SECOND})?(?P<d>{_TIME})"
  rf"|{_FIRST}(?P<e>{_TIME})(?:[\s,;]{{1,4}}{_SECOND}"
  rf"|{_GAP}and{_GAP}(?:{_SECOND})?)(?P<f>{_TIME}))(?!\w|[.:-]\d)"
  # Listed.
  rf"|(?<=[,:;]){_GAP}(?P<g>{_TIME})(?:{_GAP},{_GAP}|\s{{1,4}})(?P<h>{_TIME})"
  rf"(?={_GAP}(?:[,;]|\.?{_GAP}\Z))",
  re.IGNORECASE | re.ASCII,
)
_EXACT = re.compile(r"\(\d+ \d+\)|\(\d+,\d+\)|\[\d+,\d+\]", re.ASCII)
_PARTS = re.compile(
  rf"(?P<clock>\d+(?::\d+)+(?:\.\d+)?)"
  rf"|(?P<minutes>\d+){_GAP}{_MINUTES}(?:{_GAP}(?P<rest>{_NUMBER}))?"
  rf"|(?P<number>-?{_NUMBER})",
  re.IGNORECASE | re.ASCII,
)


@dataclasses.dataclass(frozen=True)
class Interval:
  """An interval as it is written.

  Attributes:
    start, end: seconds; the end may lie before the start.
    span: where it stands in the text.
    exact: whether it has a form of AV-UIE v2.
  """

  start: float
  end: float
  span: tuple[int, int]
  exact: bool


def find(text: str) -> Iterator[Interval]:
  """The intervals of a text, in its order."""
  for match in _INTERVAL.finditer(text):
    start, end = (time for time in match.groups() if time is not None)
    exact = _EXACT.fullmatch(match[0]) is not None
    yield Interval(_seconds(start), _seconds(end), match.span(), exact)


def _seconds(time: str) -> float:
  """The seconds of what `_TIME` matches."""
  match = _PARTS.match(time)
  assert match is not None  # `_TIME` matches nothing else
  if clock := match["clock"]:
    total = 0.0
    for part in clock.split(":"):
      total = 60 * total + float(part)
    return total
  if minutes := match["minutes"]:
    return 60 * float(minutes) + float(match["rest"] or 0)
  return float(match["number"])

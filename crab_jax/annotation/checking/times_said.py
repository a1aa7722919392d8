"""Times in a text: inside of the clip, and those of the events they stand by."""

import re

from crab_jax.annotation.checking import findings

_SLACK = 1.0  # seconds
_NUMBER = r"(\d{1,5}(?:\.\d{1,3})?)"
_UNIT = r"\s*(?:seconds?|secs?|s)\b"
_INTERVALS = (
  re.compile(
    rf"\b(?:from|between)\s+(?:about\s+|around\s+)?(?:the\s+)?(?:second\s+)?"
    rf"{_NUMBER}(?:{_UNIT})?\s+(?:to|and|until|till|through)\s+(?:about\s+)?"
    rf"(?:second\s+)?{_NUMBER}(?!\s*(?:people|persons|times|of\b))",
    re.IGNORECASE,
  ),
  re.compile(rf"\bseconds?\s+{_NUMBER}\s*(?:-|–|to|and)\s*(?:second\s+)?{_NUMBER}",
             re.IGNORECASE),
  re.compile(rf"\b{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}{_UNIT}", re.IGNORECASE),
)  # fmt: skip
_MOMENTS = (
  re.compile(rf"\bsecond\s+{_NUMBER}", re.IGNORECASE),
  re.compile(
    rf"\b(?:at|after|until|till|by|around|near)\s+(?:about\s+)?{_NUMBER}{_UNIT}",
    re.IGNORECASE,
  ),
  re.compile(r"\b(\d{1,3})(?:st|nd|rd|th)\s+second\b", re.IGNORECASE),
)


def check(text: str, context: findings.Context) -> findings.Finding | None:
  """A finding where a time lies outside of the clip, or is no event's."""
  length = context.item.length
  for sentence in findings.sentences(text):
    for pattern in _MOMENTS:
      for match in pattern.finditer(sentence):
        if length is not None and float(match[1]) > length + _SLACK:
          return _outside(match[0], length)
    for pattern in _INTERVALS:
      for match in pattern.finditer(sentence):
        start, end = float(match[1]), float(match[2])
        if length is not None and max(start, end) > length + _SLACK:
          return _outside(match[0], length)
        if found := _of_another(sentence, match, (start, end), context):
          return found
  return None


def _outside(words: str, length: float) -> findings.Finding:
  return findings.Finding(
    "times",
    findings.REWRITE,
    f"{words!r} lies outside of the clip, which has {length:g} s",
    (words,),
  )


def _of_another(
  sentence: str,
  match: re.Match[str],
  said: tuple[float, float],
  context: findings.Context,
) -> findings.Finding | None:
  """A finding where an interval by an event's name is none of it."""
  events = (*context.item.truth.answer.events, *context.item.beside)
  nearest, label = -1, None
  for own in {event.label for event in events}:
    for mention in findings.named(context.item.spoken(own), sentence):
      if nearest < mention.start() < match.start():
        nearest, label = mention.start(), own
  if label is None:
    return None
  if any(
    abs(event.start - said[0]) <= _SLACK and abs(event.end - said[1]) <= _SLACK
    for event in events
    if event.label == label
  ):
    return None
  return findings.Finding(
    "times",
    findings.REWRITE,
    f"{context.item.spoken(label)} is not at {match[0]!r}",
    (match[0],),
  )

"""The values of a row as CSV and JSONL write them.

Each function takes a cell (text of CSV, any value of JSON) and raises
ValueError, which says what the cell should hold.
"""

import json
import math
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from crab_jax.evaluation.reading import characters
from crab_jax.evaluation.reading import intervals

# Up to the first times that end an event: labels may hold any sign.
_EVENT = re.compile(
  r"\s*(?P<label>.+?)@\s*(?P<start>[0-9.]+)\s*-\s*(?P<end>[0-9.]+)\s*"
  r"(?::\s*(?P<modality>[A-Za-z]+)\s*)?(?:;|\Z)",
  re.DOTALL,
)
_MODALITIES = {
  "audio": "audio",
  "visual": "visual",
  "video": "visual",
  "both": "both",
}
_TRUE = {"true": True, "1": True, "yes": True}
_FALSE = {"false": False, "0": False, "no": False}
# What a sentence puts around a label; answers are compared without it.
_EDGE = " \t\r\n.\"'“”‘’!"


def text(cell: Any) -> str:
  """Text on one line, characters of other widths as their ASCII ones."""
  if isinstance(cell, (dict, list)):
    raise ValueError(f"it should be text, got {json.dumps(cell)[:60]}")
  if isinstance(cell, bool):
    return str(cell).lower()
  if isinstance(cell, float) and cell.is_integer():
    cell = int(cell)
  return " ".join(str(cell).split())


def label(cell: Any) -> str:
  """A label as an answer states it: without quotes and stops around it."""
  return characters.plain(text(cell)).strip(_EDGE)


def _decoded(cell: Any) -> Any:
  """The value of a cell that holds JSON, else the cell."""
  if isinstance(cell, str) and cell.lstrip().startswith(("[", "{")):
    try:
      return json.loads(cell)
    except (ValueError, RecursionError) as error:
      raise ValueError(f"it is no JSON: {error}") from None
  return cell


def listed(cell: Any) -> tuple[str, ...]:
  """Several values: a JSON list, or text with semicolons between."""
  value = _decoded(cell)
  if isinstance(value, str):
    value = value.split(";")
  if not isinstance(value, list):
    value = [value]
  return tuple(found for found in map(text, value) if found)


def labels(cell: Any) -> tuple[str, ...]:
  """Several labels."""
  return tuple(found for found in map(label, listed(cell)) if found)


def seconds(cell: Any) -> float:
  """A number of seconds, from 0 on."""
  try:
    value = float(cell)
  except (TypeError, ValueError):
    value = math.nan
  if isinstance(cell, bool) or not 0 <= value < math.inf:
    raise ValueError(f"it should be seconds, got {cell!r}")
  return value


def events(cell: Any) -> tuple[intervals.Event, ...]:
  """Labels with times: `Dog@0-4;Speech@2-9:audio`, or JSON objects."""
  value = _decoded(cell)
  if isinstance(value, str):
    return tuple(_short_events(value))
  if not isinstance(value, list):
    raise ValueError(f"it should be a list of events, got {cell!r}")
  return tuple(map(_event, value))


def _short_events(text: str) -> Iterator[intervals.Event]:
  position = 0
  while text[position:].strip():
    match = _EVENT.match(text, position)
    if match is None:
      raise ValueError(
        "an event is LABEL@START-END or LABEL@START-END:audio, got"
        f" {text[position:]!r}"
      )
    yield _event(match.groupdict())
    position = match.end()


def _event(value: Any) -> intervals.Event:
  if not isinstance(value, Mapping) or not {"label", "start", "end"} <= {
    *value
  }:
    raise ValueError(f"an event has label, start and end, got {value!r}")
  modality = str(value.get("modality") or "both").lower()
  if modality not in _MODALITIES:
    raise ValueError(f"an event is of audio, visual or both, got {modality!r}")
  start, end = seconds(value["start"]), seconds(value["end"])
  if start >= end:
    raise ValueError(
      f"an event ends behind its start, got {start:g} to {end:g}"
    )
  name = label(value["label"])
  if not name:
    raise ValueError(f"an event has a label, got {value!r}")
  return intervals.Event(name, start, end, _MODALITIES[modality])


def boolean(cell: Any) -> bool:
  """true or false, yes or no, 1 or 0."""
  word = text(cell).lower()
  if word in _TRUE or word in _FALSE:
    return word in _TRUE
  raise ValueError(f"it should be true or false, got {cell!r}")


def _numbers(value: Any, count: int) -> tuple[float, ...]:
  """So many finite numbers: a list, or text with commas or spaces."""
  if isinstance(value, str):
    value = re.split(r"[\s,]+", value.strip())
  try:
    found = tuple(float(item) for item in value)
  except (TypeError, ValueError):
    found = ()
  if len(found) != count or not all(map(math.isfinite, found)):
    raise ValueError(f"it should be {count} numbers, got {value!r}")
  return found


def box(cell: Any) -> tuple[float, ...]:
  """Four numbers."""
  return _numbers(_decoded(cell), 4)


def points(cell: Any) -> tuple[tuple[float, float], ...]:
  """Pairs of numbers: `x,y;x,y`, or JSON."""
  value = _decoded(cell)
  if isinstance(value, str):
    value = [piece for piece in value.split(";") if piece.strip()]
  if not isinstance(value, list):
    raise ValueError(f"it should be pairs of numbers, got {cell!r}")
  pairs = [_numbers(item, 2) for item in value]
  return tuple((x, y) for x, y in pairs)


def mask(cell: Any) -> tuple[str, str]:
  """A path, or the JSON text of run lengths; the other one is ""."""
  if isinstance(cell, str) and not cell.lstrip().startswith(("{", "[")):
    return text(cell), ""
  # What is wrong with it is found when it is decoded.
  return "", cell if isinstance(cell, str) else json.dumps(cell)


def frame(cell: Any) -> tuple[int | None, float | None]:
  """The number of a frame, or its second: `7`, or `1.5s`."""
  word = text(cell).lower()
  if word.endswith("s") or "." in word:
    return None, seconds(word.rstrip("s").strip())
  if not word.isdecimal():
    raise ValueError(f"it should be a number such as 7, or 1.5s, got {cell!r}")
  return int(word), None

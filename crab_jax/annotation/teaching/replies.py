"""What a teacher's reply says: JSON, or four labelled lines; never an error."""

import dataclasses
import json
import re

_LINE = re.compile(
  r"^\W{0,4}(seen|heard|reasoning|doubt|why)\W{0,4}[:：]\W{0,3}(.*)$",
  re.IGNORECASE | re.MULTILINE,
)
_LONGEST = 4000  # characters of a field
FIELDS = ("seen", "heard", "reasoning", "doubt", "why")


@dataclasses.dataclass(frozen=True)
class Said:
  """The fields of a reply; "" and 0 where it says nothing."""

  seen: str = ""
  heard: str = ""
  reasoning: str = ""
  doubt: int = 0
  why: str = ""


def read(text: str) -> Said | None:
  """The fields of a reply; None: it has none of them."""
  fields = _json(text)
  if fields is None:
    fields = {name.lower(): rest for name, rest in _LINE.findall(text)}
  found = {
    name: _text(fields[name])
    for name in ("seen", "heard", "reasoning", "why")
    if name in fields
  }
  if not any(found.values()):
    return None
  return Said(**found, doubt=_doubt(fields.get("doubt")))


def _json(text: str) -> dict | None:
  """The outermost JSON object of a text."""
  start, end = text.find("{"), text.rfind("}")
  if start < 0 or end < start:
    return None
  try:
    found = json.loads(text[start : end + 1], strict=False)
  except (ValueError, RecursionError):
    return None
  return found if isinstance(found, dict) else None


def _text(value) -> str:
  if isinstance(value, list):
    value = ", ".join(map(str, value))
  if value is None or isinstance(value, (dict, bool)):
    return ""
  return " ".join(str(value)[:_LONGEST].split())


def _doubt(value) -> int:
  """0 to 3; what is no such number is no doubt."""
  match = re.search(r"[0-3]", str(value)) if value is not None else None
  return int(match[0]) if match else 0

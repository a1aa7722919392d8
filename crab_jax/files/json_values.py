"""Strict JSON, for those that write or send it."""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_document(value: Any) -> bytes:
  """A JSON value as the content of a file, see `json_text`."""
  return _encoded(json_text(value, indent=1) + "\n")


def json_line(value: Any) -> bytes:
  """A JSON value as a line of a log, see `json_text`."""
  return _encoded(json_text(value) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
  """Strict JSON: numpy's numbers as floats, undefined numbers as null.

  JSON knows neither NaN nor infinity, and most readers refuse a file that holds
  one. Refusing to write it would cost a report for a number.
  """

  def dump(value: Any) -> str:
    return json.dumps(
      value, indent=indent, default=float, ensure_ascii=False, allow_nan=False
    )

  try:
    return dump(value)
  except ValueError:  # some number is NaN or infinite
    return dump(_defined(value))


def _defined(value: Any) -> Any:
  """The value with null for each number that is NaN or infinite."""
  if isinstance(value, Mapping):
    return {name: _defined(item) for name, item in value.items()}
  if isinstance(value, list | tuple):
    return [_defined(item) for item in value]
  if value is None or isinstance(value, str | int):
    return value
  number = float(value)
  return number if math.isfinite(number) else None


def _encoded(text: str) -> bytes:
  # A lone surrogate has no UTF-8; so written it is JSON's own escape for it.
  return text.encode(errors="backslashreplace")

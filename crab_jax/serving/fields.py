"""Reads JSON of strangers: every value has its type, or the reply names it."""

import json
import math
from typing import Any

from crab_jax.serving import failures


def parse(body: bytes) -> "Object":
  """The object that a body holds.

  Raises:
    Failure: it is no JSON object in UTF-8.
  """
  try:
    value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
  except UnicodeDecodeError:
    failures.invalid("invalid_json", "the body is not UTF-8")
  except RecursionError:
    failures.invalid("invalid_json", "the body is nested too deeply")
  except ValueError as error:
    failures.invalid("invalid_json", f"the body is no JSON: {error}")
  if not isinstance(value, dict):
    failures.invalid("invalid_json", "the body must be a JSON object")
  return Object(value)


def _no_constant(name: str):
  raise ValueError(f"{name} is no JSON")


class Object:
  """A JSON object whose keys are taken one by one.

  Args:
    value: of `json.loads`.
    path: where it stands in the body, "messages[0]"; "": the body itself.
  """

  def __init__(self, value: dict[str, Any], path: str = ""):
    self._value, self.path = value, path
    self._taken: set[str] = set()

  def where(self, name: str) -> str:
    """The path of a key."""
    return f"{self.path}.{name}" if self.path else name

  def take(self, name: str) -> Any:
    """The value of a key as it is; None: it is not there, or null."""
    self._taken.add(name)
    return self._value.get(name)

  def has(self, name: str) -> bool:
    """Whether a key is there and not null."""
    return self._value.get(name) is not None

  def text(self, name: str) -> str | None:
    """A string, or None.

    Raises:
      Failure: it is another type, or no Unicode.
    """
    value = self.take(name)
    return None if value is None else as_text(value, self.where(name))

  def flag(self, name: str) -> bool:
    """A bool; False where there is none.

    Raises:
      Failure: it is another type.
    """
    value = self.take(name)
    if value is not None and not isinstance(value, bool):
      _wrong(self.where(name), "true or false")
    return bool(value)

  def whole(self, name: str, least: int, most: int) -> int | None:
    """A whole number in a range, or None.

    Raises:
      Failure: it is another type, or outside.
    """
    value = self.take(name)
    if value is None:
      return None
    if isinstance(value, float) and value.is_integer():
      value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
      _wrong(self.where(name), "a whole number")
    if not least <= value <= most:
      _wrong(self.where(name), f"from {least} to {most}")
    return value

  def number(self, name: str, least: float, most: float) -> float | None:
    """A number in a range, or None.

    Raises:
      Failure: it is another type, or outside.
    """
    value = self.take(name)
    if value is None:
      return None
    if isinstance(value, bool) or not isinstance(value, int | float):
      _wrong(self.where(name), "a number")
    # 1e999 is infinity, and 10**400 is no float.
    if not (least <= value <= most) or not math.isfinite(float(value)):
      _wrong(self.where(name), f"from {least:g} to {most:g}")
    return float(value)

  def object(self, name: str) -> "Object | None":
    """An object, or None.

    Raises:
      Failure: it is another type.
    """
    value = self.take(name)
    return None if value is None else as_object(value, self.where(name))

  def items(self, name: str) -> list[Any] | None:
    """A list, or None.

    Raises:
      Failure: it is another type.
    """
    value = self.take(name)
    if value is not None and not isinstance(value, list):
      _wrong(self.where(name), "a list")
    return value

  def texts(self, name: str) -> tuple[str, ...] | None:
    """A list of strings, or None.

    Raises:
      Failure: it is another type.
    """
    found = self.items(name)
    if found is None:
      return None
    path = self.where(name)
    return tuple(as_text(x, f"{path}[{i}]") for i, x in enumerate(found))

  def remaining(self) -> list[str]:
    """Keys that nothing took."""
    return [key for key in self._value if key not in self._taken]


def as_text(value: Any, path: str) -> str:
  """A string.

  Raises:
    Failure: it is none, or holds half a character (a lone surrogate).
  """
  if not isinstance(value, str):
    _wrong(path, "a string")
  try:
    value.encode()
  except UnicodeEncodeError:
    _wrong(path, "valid Unicode")
  return value


def as_object(value: Any, path: str) -> Object:
  """An object.

  Raises:
    Failure: it is none.
  """
  if not isinstance(value, dict):
    _wrong(path, "an object")
  return Object(value, path)


def _wrong(path: str, wanted: str):
  failures.invalid("invalid_value", f"{path} must be {wanted}", path)

"""The base of every setting: types are checked when an object is made.

A field of another type, or one that contradicts another, is an error that
names it.
"""

import dataclasses
import re
import typing
from typing import Any
from typing import Self
from typing import cast

import beartype
import beartype.door

_CONF = beartype.BeartypeConf(is_pep484_tower=True)  # an int is a float


def require(condition: bool, message: str) -> None:
  """Raises ValueError with the message unless the condition holds."""
  if not condition:
    raise ValueError(message)


def require_positive(settings: "Checked", *names: str) -> None:
  """Raises ValueError unless the fields of these names are > 0."""
  for name in names:
    value = getattr(settings, name)
    require(
      value > 0, f"{type(settings).__name__}.{name}={value} must be positive"
    )


def _spelt(hint) -> str:
  """A type as a user writes it: `World | None`, without our modules."""
  name = getattr(hint, "__name__", None) or str(hint)
  return re.sub(r"crab_jax\.configs\.\w+\.", "", name)


class Checked:
  """Checks the types of a dataclass's fields, then what `check` demands."""

  @classmethod
  def of(cls, settings: "Checked") -> Self:
    """The same settings, which must be of this class.

    For code that knows which family's or variant's they are.

    Raises:
      TypeError: they are of another class.
    """
    if not isinstance(settings, cls):
      raise TypeError(f"{settings!r} must be of type {cls.__name__}")
    return settings

  def named(self) -> dict[str, Any]:
    """ "Class.field" -> its value, as JSON gives it back."""
    name = type(self).__name__
    values = {
      f"{name}.{field.name}": getattr(self, field.name)
      for field in dataclasses.fields(cast(Any, self))
    }
    return {
      name: list(x) if isinstance(x, tuple) else x for name, x in values.items()
    }

  def __post_init__(self):
    for name, hint in typing.get_type_hints(type(self)).items():
      value = getattr(self, name)
      if not beartype.door.is_bearable(value, hint, conf=_CONF):
        raise TypeError(
          f"{type(self).__name__}.{name} = {value!r} must be of type"
          f" {_spelt(hint)}"
        )
    self.check()

  def check(self) -> None:
    """Raises ValueError if fields contradict each other."""

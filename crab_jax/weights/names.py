"""Names of tensors, for people."""

import itertools
import re

_NUMBER = re.compile(r"\.(\d+)\.")


def listing(names: list[str]) -> str:
  """All the names, the layers of one tensor as "a.{0-27}.b"."""
  layers: dict[str, list[int]] = {}
  for name in names:
    number = _NUMBER.search(name)
    key = _NUMBER.sub(".{}.", name, count=1) if number else name
    layers.setdefault(key, []).extend([int(number[1])] if number else [])
  return ", ".join(
    key.replace("{}", _runs(numbers), 1) for key, numbers in layers.items()
  )


def _runs(numbers: list[int]) -> str:
  """[0, 1, 2, 5] -> "{0-2,5}", [3] -> "3"."""
  if len(numbers) == 1:
    return str(numbers[0])
  parts = []
  places = enumerate(sorted(numbers))
  for _, run in itertools.groupby(places, lambda pair: pair[1] - pair[0]):
    found = [number for _, number in run]
    parts.append(
      str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"
    )
  return "{" + ",".join(parts) + "}"

"""Which rows are for training and which for testing, never dividing a group.

Rows belong together when they have the same group (a speaker, a source video)
or the same media file by its content, and all that are connected so. A split
that a row names holds for all that belong together with it.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from crab_jax import errors
from crab_jax.annotation import items
from crab_jax.annotation import settings as settings_lib
from crab_jax.data import tasks

_LARGEST = 0.5  # share of the rows in one group from which it is told
_NAMED = 10  # pairs of rows that are named


def divide(
  built: Sequence[items.Item],
  settings: settings_lib.Settings,
  show: Callable[[str], object],
) -> list[items.Item]:
  """The items with their splits.

  Args:
    built: of the source; some name a split.
    settings: shares of the splits, whether overlaps are allowed.
    show: takes what is to be told.

  Raises:
    UserError: rows that belong together name different splits.
  """
  members = {
    item.id: [
      *([f"group {item.row.group}"] if item.row.group else []),
      f"row {item.row.number}",
      *(f"{facts.sha256}" for n, facts in item.media.items() if n != "mask"),
    ]
    for item in built
  }
  belongs = components(members)
  given = {item.id: item.row.split for item in built}
  if found := overlaps(given, belongs):
    pairs = "; ".join(
      f"{one} ({given[one]}) and {other} ({given[other]})"
      for one, other in found[:_NAMED]
    )
    told = (
      f"{len(found)} rows share a group or a media file with a row of another"
      f" split: {pairs}"
    )
    if not settings.allow_overlap:
      raise errors.UserError(
        f"{told}. Mend the splits, or allow it (--allow_overlap)"
      )
    show(told)
  wanted = shares(settings.split)
  size = max(collections.Counter(belongs.values()).values(), default=0)
  if not all(given.values()) and size > _LARGEST * len(built) > 1:
    show(
      f"{size} of {len(built)} rows belong together by their groups and media"
      " files: they are in one split"
    )
  chosen = assign(given, belongs, wanted)
  return [dataclasses.replace(item, split=chosen[item.id]) for item in built]


def shares(text: str) -> dict[str, float]:
  """The shares of "80,10,10": train, val, test; of two numbers train, test.

  Raises:
    UserError: it is no such list.
  """
  pieces = text.split(",")
  names = {1: ("train",), 2: ("train", "test")}.get(len(pieces), tasks.SPLITS)
  try:
    numbers = [float(piece) for piece in pieces]
  except ValueError:
    numbers = []
  if len(numbers) != len(names) or sum(numbers) <= 0 or min(numbers) < 0:
    raise errors.UserError(
      f"--split={text}: it should be shares of train, val and test, such as"
      " 80,10,10"
    )
  return {
    name: number / sum(numbers)
    for name, number in zip(names, numbers, strict=True)
  }


def components(members: Mapping[str, Sequence[str]]) -> dict[str, str]:
  """Row -> the name of what it belongs to.

  Args:
    members: row -> what it must not be divided from: groups, hashes.
  """
  parent: dict[str, str] = {}

  def find(node: str) -> str:
    while parent.setdefault(node, node) != node:
      parent[node] = parent[parent[node]]
      node = parent[node]
    return node

  for row, names in members.items():
    for name in names:
      # The smaller name is the root, so that the order of rows is no matter.
      one, other = sorted((find(f"row {row}"), find(f"in {name}")))
      parent[other] = one
  return {row: find(f"row {row}") for row in members}


def overlaps(
  given: Mapping[str, str], belongs: Mapping[str, str]
) -> list[tuple[str, str]]:
  """Pairs of rows that belong together and name different splits.

  Args:
    given: row -> the split that it names, or "".
    belongs: of `components`.
  """
  first: dict[str, str] = {}
  found = []
  for row, split in given.items():
    if split:
      other = first.setdefault(belongs[row], row)
      if given[other] != split:
        found.append((other, row))
  return found


def assign(
  given: Mapping[str, str],
  belongs: Mapping[str, str],
  wanted: Mapping[str, float],
) -> dict[str, str]:
  """Row -> split.

  Args:
    given: row -> the split that it names, or "".
    belongs: of `components`.
    wanted: split -> share of the rows that name none.
  """
  fixed: dict[str, str] = {}
  for row, split in given.items():
    if split:
      fixed.setdefault(belongs[row], split)
  sizes: dict[str, int] = {}
  for row in given:
    if belongs[row] not in fixed:
      sizes[belongs[row]] = sizes.get(belongs[row], 0) + 1
  total = sum(sizes.values())
  room = {split: share * total for split, share in wanted.items() if share}
  for name in sorted(sizes, key=lambda name: (-sizes[name], _mixed(name))):
    # To where most is missing, relative to what is wanted: small splits get
    # theirs too.
    split = max(room, key=lambda split: room[split] / wanted[split])
    fixed[name] = split
    room[split] -= sizes[name]
  return {row: split or fixed[belongs[row]] for row, split in given.items()}


def _mixed(name: str) -> str:
  """Sorts names in an order that is none, the same every time."""
  return hashlib.sha256(name.encode()).hexdigest()

"""How labels are said in sentences: `playing_piano` as "playing piano".

Answers keep the spelling of their source. `{out}/labels.json` holds a name for
each label of each task, for the sentences of templates and teachers and for the
checks, which look for these words. It is written with names that follow from
the labels; what a user changes in it stays.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Mapping
from collections.abc import Sequence

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import facts
from crab_jax.annotation import items
from crab_jax.data import tasks

FILE = "labels.json"
_SHORT = 4  # letters of an abbreviation at most

Names = Mapping[str, Mapping[str, str]]  # task -> label -> name


def default(label: str, language: str = "en") -> str:
  """The name of a label that nobody has named.

  Underscores are spaces, and `ApplyEyeMakeup` is three words. In English words
  are lower case but for abbreviations; other languages keep their case.
  """
  words = facts.plain(label).split()
  if len(words) == 1 and words[0][:1].isupper():
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words[0]).split()
  if language == "en":
    words = [_lower(word) for word in words]
  return " ".join(words)


def _lower(word: str) -> str:
  """A word in lower case unless it is an abbreviation or of mixed case."""
  if word.istitle():
    return word.lower()
  return word.lower() if word.isupper() and len(word) > _SHORT else word


def has_labels(task: tasks.Task) -> bool:
  """Whether the answers of a task are classes or names of objects."""
  return task.family not in ("matching", "qa") and task.kind != "caption"


def labels(item: items.Item, task: tasks.Task) -> list[str]:
  """The classes that a row names, as its source spells them."""
  if not has_labels(task):
    return []
  answer = item.truth.answer
  found = [event.label for event in answer.events]
  found += [name for name in (answer.label, item.truth.name) if name]
  return list(dict.fromkeys(found))


def read(out: files.Path) -> dict[str, dict[str, str]]:
  """The names in a folder; {} where there are none yet.

  Raises:
    UserError: the file does not hold names by task and label.
  """
  path = out / FILE
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError, RecursionError) as error:
    raise errors.UserError(f"{path} is no JSON: {error}") from None
  if not isinstance(found, dict):
    raise errors.UserError(f"{path} should be an object: task -> label -> name")
  for task, names in found.items():
    if not isinstance(names, dict):
      raise errors.UserError(f"{path}: {task} should be an object of names")
    for label, name in names.items():
      if not isinstance(name, str) or not facts.plain(name):
        raise errors.UserError(
          f"{path}: the name of {label!r} of {task} should be words, got"
          f" {name!r}"
        )
  return found


def edited(out: files.Path, language: str) -> dict[str, dict[str, str]]:
  """The names that do not follow from their labels: a user changed them.

  Raises:
    UserError: as of `read`.
  """
  return {
    task: changed
    for task, names in read(out).items()
    if (
      changed := {
        label: name
        for label, name in names.items()
        if name != default(label, language)
      }
    )
  }


def table(
  built: Sequence[items.Item],
  known: tasks.Tasks,
  out: files.Path,
  language: str,
) -> dict[str, dict[str, str]]:
  """A name for each label of the rows: those in the folder, else new ones.

  Descriptions of one object, which are sentences already, have none. Names that
  a user gave stay, also of labels that no row has now.
  """
  given = read(out)
  found: dict[str, dict[str, str]] = collections.defaultdict(dict)
  found |= edited(out, language)
  for item in built:
    if item.row.expression:
      continue
    for label in labels(item, known[item.task]):
      name = given.get(item.task, {}).get(label) or default(label, language)
      found[item.task][label] = name
  return {
    task: dict(sorted(names.items())) for task, names in sorted(found.items())
  }


def named(built: Sequence[items.Item], names: Names) -> list[items.Item]:
  """The rows with the names of their task's labels."""
  return [
    dataclasses.replace(item, names=names.get(item.task, {})) for item in built
  ]

"""A user's own accepted texts as the examples that a teacher is shown.

They are chosen once, when they are first asked for, and stay in a file: a
choice that followed every review would ask the teacher for all texts anew each
time. Rows that people accepted by then keep their texts, since they go on being
asked with the examples of the prompts.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.data import tasks

FILE = "examples.json"
_MOST = 3  # of a family


@dataclasses.dataclass(frozen=True)
class Examples:
  """Texts that people accepted.

  Attributes:
    texts: family -> reasonings.
    rows: ids of the rows that keep the examples of the prompts.
  """

  texts: Mapping[str, tuple[str, ...]]
  rows: frozenset[str]

  def of(self, row: str, family: str) -> tuple[str, ...]:
    """What the teacher is shown for a row; (): the examples of the prompts."""
    return () if row in self.rows else self.texts.get(family, ())


def chosen(
  out: files.Path,
  state: files.Path,
  table: tasks.Tasks,
  prompts: prompts_lib.Prompts,
) -> Examples:
  """The examples of a folder: those in its file, else chosen now and kept.

  Raises:
    UserError: nobody has accepted a text, or the file is damaged.
  """
  path = state / FILE
  if not path.is_file():
    found = _choose(entries.read(state), reviews.read(out), table, prompts)
    if not found["texts"]:
      raise errors.UserError(
        f"--examples=reviewed: nobody has accepted a text in {out} (--review)"
      )
    files.write_json(path, found, sync=True)
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
    return Examples(
      {family: tuple(texts) for family, texts in found["texts"].items()},
      frozenset(found["rows"]),
    )
  except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    raise errors.UserError(
      f"{path} is damaged ({error!r}); without it the examples are chosen anew"
    ) from None


def _choose(
  drafts: Iterable[Mapping[str, Any]],
  decisions: Iterable[Mapping[str, Any]],
  table: tasks.Tasks,
  prompts: prompts_lib.Prompts,
) -> dict[str, Any]:
  """The content of the file."""
  standing = reviews.standing(decisions)
  ranked: dict[str, list[tuple[int, str, str]]] = {}
  kept = []
  for draft in drafts:
    stack = standing.get((draft["id"], draft["hash"]))
    # What was rejected is to be written anew, with the examples.
    if not stack or stack[-1]["verdict"] == "reject":
      continue
    kept.append(draft["id"])
    verdict = stack[-1]["verdict"]
    text = stack[-1]["text"] if verdict == "edit" else draft["text"]
    if verdict != "label" and text and draft["task"] in table:
      family = prompts_lib.family(table[draft["task"]], prompts)
      mixed = hashlib.sha256(draft["id"].encode()).hexdigest()
      rank = 0 if verdict == "edit" else 1 + (draft["writer"] != "teacher")
      ranked.setdefault(family, []).append((rank, mixed, text))
  texts = {
    family: [text for _, _, text in sorted(own)[:_MOST]]
    for family, own in sorted(ranked.items())
  }
  return {"texts": texts, "rows": sorted(kept)}

"""Who wrote a row, of what, and where its media are from.

`{out}/{task}/provenance.jsonl` has a line for each row of the annotation files,
in their order.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from crab_jax.annotation import items

FILE = "provenance.jsonl"


@dataclasses.dataclass(frozen=True)
class Draft:
  """The reasoning of an item, and who wrote it.

  Attributes:
    text: without the conclusion.
    writer: "template", "bare", "label" (of captions), "teacher" or a person.
    facts: what else is to be known of the writing: model, host, attempt,
      tokens.
    checks: codes of the checks that it did not pass.
    review: what a person said of it; "" where none did.
  """

  text: str
  writer: str
  facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  checks: tuple[str, ...] = ()
  review: str = ""


def line(item: items.Item, row: int, draft: Draft) -> dict[str, Any]:
  """The line of one row.

  Args:
    item: what was built.
    row: its number in the file of its split.
    draft: its reasoning; of a test row nobody's.
  """
  found: dict[str, Any] = {
    "id": item.id,
    "split": item.split,
    "row": row,
    "from": item.row.where,
    "source": item.row.source,
    "licence": item.row.licence,
    "media": {
      column: {"file": facts.path, "sha256": facts.sha256}
      for column, facts in item.media.items()
    },
    "cut": list(item.cut) if item.cut else None,
    "writer": draft.writer,
    **draft.facts,
    "checks": list(draft.checks),
    "review": draft.review,
  }
  if item.marks:
    found["marks"] = list(item.marks)
  return found

"""Who wrote a row, of what, and where its media come from.

`{out}/{task}/provenance.jsonl` has a line for each row of the annotation files,
in their order.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from crab_jax.annotation import items
from crab_jax.annotation import licences
from crab_jax.annotation.checking import findings

FILE = "provenance.jsonl"


@dataclasses.dataclass(frozen=True)
class Draft:
  """The reasoning of an item, and who wrote it.

  Attributes:
    text: without the conclusion.
    writer: "template", "bare", "label" (of captions), "teacher" or a person.
    facts: what else is to be known of the writing: what the writer saw, model,
      host, attempt, tokens.
    found: what the checks found in it, if it stays.
    failed: codes of the checks that earlier texts failed, one for each time.
    notes: what the writer noted of the clip, or None.
    held: whether a person has to accept it first.
    dropped: why there is none; "": there is.
    review: what a person said of it; "" where none did.
  """

  text: str
  writer: str
  facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  found: tuple[findings.Finding, ...] = ()
  failed: tuple[str, ...] = ()
  notes: findings.Notes | None = None
  held: bool = False
  dropped: str = ""
  review: str = ""

  @property
  def checks(self) -> tuple[str, ...]:
    """Codes of what was found."""
    return tuple(finding.code for finding in self.found)

  @property
  def flagged(self) -> bool:
    """Whether a person should look at it."""
    return self.held or bool(self.found)


def line(
  item: items.Item, row: int, draft: Draft, remote: bool = False
) -> dict[str, Any]:
  """The line of one row.

  Args:
    item: what was built.
    row: its number in the file of its split.
    draft: its reasoning; of a test row nobody's.
    remote: whether its clip went to another machine.
  """
  found: dict[str, Any] = {
    "id": item.id,
    "split": item.split,
    "row": row,
    "from": item.row.where,
    "source": item.row.source,
    "licence": item.row.licence,
    "media": {
      # A mask that stands in the row itself is no file.
      column: {"file": facts.path or None, "sha256": facts.sha256}
      for column, facts in item.media.items()
    },
    "cut": list(item.cut) if item.cut else None,
    "writer": draft.writer,
    **draft.facts,
    **licences.notes(item.task, remote),
    "checks": list(draft.checks),
    "failed": list(draft.failed),
    "review": draft.review,
  }
  if item.marks:
    found["marks"] = list(item.marks)
  return found

"""Drafts as a reviewer sees them, and the order in which they are shown."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import conclusions
from crab_jax.annotation import items
from crab_jax.annotation import provenance
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
from crab_jax.annotation.review import reviews
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

FILE = "drafts.jsonl"
_LEAST = 30  # of a task that are sampled, where it has so many
_TWICE = 10  # one of so many is seen by two reviewers
_ROW = (
  "question", "options", "expression", "caption", "hint", "transcript",
)  # fmt: skip


def line(
  item: items.Item,
  draft: provenance.Draft,
  places: Mapping[str, files.Path],
  vocabulary: Iterable[str],
  language: str,
) -> dict[str, Any]:
  """A draft as a line of the file: all that its page and its checks need.

  Args:
    item: the row.
    draft: its text.
    places: column of its media -> the file that is shown.
    vocabulary: every class of the task.
    language: of the text.
  """
  answer = item.truth.answer
  return {
    "id": item.id,
    "task": item.task,
    "split": item.split,
    "text": draft.text,
    "hash": reviews.text_hash(draft.text),
    "conclusion": conclusions.state(item.truth),
    "name": item.truth.name,
    "names": dict(item.names),
    "answer": {
      "kind": answer.kind,
      "label": answer.label,
      "events": _dumped(answer.events),
      "exists": answer.exists,
      "box": answer.box,
      "points": answer.points,
    },
    "beside": _dumped(item.beside),
    "length": item.length,
    "cut": item.cut,
    "row": {name: getattr(item.row, name) for name in _ROW},
    "media": {
      column: str(files.absolute(path)) for column, path in places.items()
    },
    "writer": draft.writer,
    "held": draft.held,
    "findings": [dataclasses.asdict(found) for found in draft.found],
    "notes": dataclasses.asdict(draft.notes) if draft.notes else None,
    "vocabulary": sorted(vocabulary),
    "language": language,
  }


def _dumped(events: Iterable[intervals.Event]) -> list[dict[str, Any]]:
  return [dataclasses.asdict(event) for event in events]


def _events(
  dumped: Iterable[Mapping[str, Any]],
) -> tuple[intervals.Event, ...]:
  return tuple(intervals.Event(**event) for event in dumped)


def read(state: files.Path) -> list[dict[str, Any]]:
  """The lines of the file.

  Raises:
    UserError: there is none yet.
  """
  path = state / FILE
  if not path.is_file():
    raise errors.UserError(
      f"{path} is not there: annotate a source first, then --review"
    )
  text = path.read_text(encoding="utf-8")
  return [json.loads(one) for one in text.split("\n") if one]


def context(entry: Mapping[str, Any], table: tasks.Tasks) -> findings.Context:
  """What the checks need to know of a draft.

  Raises:
    UserError: its task is none of the table.
  """
  table.require([entry["task"]], "the drafts (--task_file)")
  said = entry["answer"]
  answer = answers.Answer(
    said["kind"],
    label=said["label"],
    events=_events(said["events"]),
    exists=said["exists"],
    box=tuple(said["box"]) if said["box"] else None,
    points=tuple((x, y) for x, y in said["points"]),
    caption=entry["row"]["caption"] or None,
  )
  row = rows.Row(
    "review",
    **{**entry["row"], "options": tuple(entry["row"]["options"])},
    events=_events(entry.get("beside", ())),  # older drafts have none
  )
  item = items.Item(
    entry["id"],
    row,
    entry["task"],
    truths.Truth(answer, entry["name"]),
    {},
    None,
    entry["length"],
    names=entry.get("names", {}),  # older drafts have none
  )
  return findings.Context(
    item,
    table[entry["task"]],
    frozenset(entry["vocabulary"]),
    entry.get("language", "en"),  # older drafts do not tell
  )


def queue(
  entries: Sequence[Mapping[str, Any]],
  decisions: Iterable[Mapping[str, Any]],
  reviewer: str,
  share: float,
) -> list[Mapping[str, Any]]:
  """What a reviewer is to look at: flagged drafts, then a sample of each task.

  Args:
    entries: of the file.
    decisions: so far, of everybody.
    reviewer: who; one in ten of what others have seen is shown again.
    share: of the unflagged that is sampled, at least 30 of a task.
  """
  seen = {
    key: {decision["reviewer"] for decision in stack}
    for key, stack in reviews.standing(decisions).items()
  }
  flagged = [e for e in entries if e["held"] or e["findings"]]
  rest: dict[str, list[Mapping[str, Any]]] = {}
  for entry in entries:
    if not (entry["held"] or entry["findings"]):
      rest.setdefault(entry["task"], []).append(entry)
  sample = [
    entry
    for own in rest.values()
    for entry in sorted(own, key=_mixed)[: max(_LEAST, round(share * len(own)))]
  ]
  return [
    entry
    for entry in (*flagged, *sample)
    if not (by := seen.get((entry["id"], entry["hash"]), set()))
    or (reviewer not in by and _number(entry) % _TWICE == 0)
  ]


def _mixed(entry: Mapping[str, Any]) -> str:
  return hashlib.sha256(entry["id"].encode()).hexdigest()


def _number(entry: Mapping[str, Any]) -> int:
  return int(_mixed(entry)[:8], 16)

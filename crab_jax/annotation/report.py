"""What an annotation says about itself: report.json and report.html.

Read from the provenance, the drafts and the decisions, so that a run that was
stopped reports the same as one that was not.
"""

import collections
import math
import pathlib
import statistics
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jinja2

from crab_jax import files
from crab_jax.annotation import items
from crab_jax.annotation import provenance

_PAGE = pathlib.Path(__file__).with_name("report.html.jinja")
_OPENING = 3  # words
_SHOWN = 5  # openings
_Z = 1.959964  # of a 95 % interval


def wilson(good: int, count: int) -> tuple[float, float]:
  """The 95 % interval of a share. Reference: Wilson 1927."""
  if not count:
    return 0.0, 1.0
  share, extra = good / count, _Z**2 / count
  middle = share + extra / 2
  half = _Z * math.sqrt(share * (1 - share) / count + extra / (4 * count))
  return (middle - half) / (1 + extra), (middle + half) / (1 + extra)


def of_texts(texts: Sequence[str]) -> dict[str, Any]:
  """Lengths, variety and openings of reasonings; {} without any."""
  said = [text.lower().split() for text in texts if text]
  if not said:
    return {}
  lengths = sorted(map(len, said))
  pairs = [
    pair for words in said for pair in zip(words, words[1:], strict=False)
  ]
  openings = collections.Counter(" ".join(w[:_OPENING]) for w in said)
  return {
    "words": {
      "least": lengths[0],
      "median": statistics.median(lengths),
      "most": lengths[-1],
    },
    "distinct_2": len(set(pairs)) / max(len(pairs), 1),
    "openings": openings.most_common(_SHOWN),
  }


def make(
  every: Sequence[items.Item],
  drafts: Mapping[str, provenance.Draft],
  summary: Mapping[str, Any],
) -> dict[str, Any]:
  """The content of report.json.

  Args:
    every: the items.
    drafts: of each, after the review.
    summary: the content of annotate.json.
  """
  groups: dict[str, list[items.Item]] = {}
  for item in every:
    groups.setdefault(item.task, []).append(item)
  return {
    "tasks": {
      name: _of_task(own, drafts) | {"splits": summary["tasks"].get(name, {})}
      for name, own in groups.items()
    },
    "unbuilt": summary["unbuilt"],
    "review": summary.get("review"),
    "licences": dict(
      collections.Counter(item.row.licence or "not told" for item in every)
    ),
  }


def _of_task(
  own: Sequence[items.Item], drafts: Mapping[str, provenance.Draft]
) -> dict[str, Any]:
  mine = [drafts[item.id] for item in own]
  reviewed = [draft for draft in mine if draft.review]
  kept = sum(draft.review in ("accepted", "edited") for draft in reviewed)
  return {
    "rows": len(own),
    "writers": _counted(draft.writer for draft in mine),
    "found": _counted(code for draft in mine for code in draft.checks),
    "asked_again": _counted(code for draft in mine for code in draft.failed),
    "texts": of_texts([draft.text for draft in mine]),
    "classes": _counted(name for item in own for name in _classes(item)),
    "doubted": _counted(
      name
      for item in own
      if {"contradicted", "judge"} & {*drafts[item.id].checks}
      for name in _classes(item)
    ),
    "reviewed": len(reviewed),
    "accepted": kept,
    "accepted_interval": wilson(kept, len(reviewed)),
  }


def _counted(names: Iterable[str]) -> dict[str, int]:
  return dict(collections.Counter(names).most_common())


def _classes(item: items.Item) -> list[str]:
  """The classes of a row; of questions and captions none are counted."""
  answer = item.truth.answer
  if answer.events:
    return sorted({event.label for event in answer.events})
  if item.row.question or answer.kind == "caption":
    return []
  name = answer.label or item.truth.name
  return [name] if name else []


def write(report: Mapping[str, Any], out: files.Path) -> None:
  """Writes report.json and report.html."""
  files.write_json(out / "report.json", report)
  environment = jinja2.Environment(autoescape=True, trim_blocks=True)
  page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
  files.write_text(out / "report.html", page.render(**report))

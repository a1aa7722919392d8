"""What an annotation says about itself: report.json and report.html.

Read from the provenance, the drafts and the decisions, so that a run that was
stopped reports the same as one that was not.
"""

import collections
import itertools
import math
import pathlib
import statistics
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jinja2

from crab_jax import files
from crab_jax.annotation import items
from crab_jax.annotation import provenance
from crab_jax.annotation.teaching import spending
from crab_jax.evaluation.reading import intervals

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
    "words": _quantiles(lengths),
    "distinct_2": len(set(pairs)) / max(len(pairs), 1),
    "openings": openings.most_common(_SHOWN),
  }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
  """Least, quarters and most of some values."""
  ordered = sorted(values)
  quarters = (
    statistics.quantiles(ordered, n=4, method="inclusive")
    if len(ordered) > 1
    else ordered * 3
  )
  names = ("least", "quarter", "median", "three_quarters", "most")
  return dict(zip(names, (ordered[0], *quarters, ordered[-1]), strict=True))


def of_events(own: Sequence[items.Item]) -> dict[str, Any]:
  """Events a clip, their seconds, and clips in which some overlap; {}: none."""
  clips = [item.truth.answer.events for item in own]
  lasts = [event.end - event.start for clip in clips for event in clip]
  if not lasts:
    return {}
  return {
    "a_clip": _quantiles(list(map(len, clips))),
    "seconds": _quantiles(lasts),
    "overlap": sum(map(_overlaps, clips)) / len(clips),
  }


def _overlaps(clip: Sequence[intervals.Event]) -> bool:
  """Whether two events of a clip that differ are there at once."""
  return any(
    one.label != other.label and one.start < other.end and other.start < one.end
    for one, other in itertools.combinations(clip, 2)
  )


def make(
  every: Sequence[items.Item],
  drafts: Mapping[str, provenance.Draft],
  summary: Mapping[str, Any],
  judged: bool = False,
  tariff: spending.Tariff | None = None,
) -> dict[str, Any]:
  """The content of report.json.

  Args:
    every: the items.
    drafts: of each, after the review.
    summary: the content of annotate.json.
    judged: whether a judge looked at the texts of the teacher.
    tariff: prices of the teacher's tokens; None: they cost nothing.
  """
  groups: dict[str, list[items.Item]] = {}
  for item in every:
    groups.setdefault(item.task, []).append(item)
  return {
    "tasks": {
      name: _of_task(own, drafts, judged, tariff or spending.Tariff())
      | {"splits": summary["tasks"].get(name, {})}
      for name, own in groups.items()
    },
    "unbuilt": summary["unbuilt"],
    "review": summary.get("review"),
    "licences": dict(
      collections.Counter(item.row.licence or "not told" for item in every)
    ),
  }


def _of_task(
  own: Sequence[items.Item],
  drafts: Mapping[str, provenance.Draft],
  judged: bool,
  tariff: spending.Tariff,
) -> dict[str, Any]:
  mine = [drafts[item.id] for item in own]
  tokens = [
    draft.facts["tokens"] for draft in mine if draft.facts.get("tokens")
  ]
  return {
    "rows": len(own),
    "writers": _counted(draft.writer for draft in mine),
    "found": _by_writer(mine, lambda draft: draft.checks),
    "asked_again": _counted(code for draft in mine for code in draft.failed),
    "attempts": _counted(
      str(draft.facts["attempt"]) for draft in mine if "attempt" in draft.facts
    ),
    "texts": of_texts([draft.text for draft in mine]),
    "tokens": [sum(column) for column in zip(*tokens, strict=True)],
    "cost": sum(tariff.cost(*one) for one in tokens),
    "events": of_events(own),
    "classes": _counted(name for item in own for name in _classes(item)),
    "doubted": _counted(
      name
      for item in own
      if {"contradicted", "judge"} & {*drafts[item.id].checks}
      for name in _classes(item)
    ),
    "supported": _supported(mine) if judged else {},
    "reviewed": _reviewed(mine),
  }


def _by_writer(
  mine: Sequence[provenance.Draft],
  names: Callable[[provenance.Draft], Iterable[str]],
) -> dict[str, dict[str, int]]:
  """Writer -> name -> how often; writers without any are left out."""
  found: dict[str, dict[str, int]] = {}
  for writer in dict.fromkeys(draft.writer for draft in mine):
    own = (draft for draft in mine if draft.writer == writer)
    if counts := _counted(name for draft in own for name in names(draft)):
      found[writer] = counts
  return found


def _supported(mine: Sequence[provenance.Draft]) -> dict[str, Any]:
  """Texts of the teacher that the judge finds supported."""
  shown = [d for d in mine if d.writer == "teacher" and not d.held and d.text]
  good = sum("judge" not in draft.checks for draft in shown)
  return _share(good, len(shown))


def _reviewed(mine: Sequence[provenance.Draft]) -> dict[str, dict[str, Any]]:
  """Writer -> what reviewers accepted of its texts."""
  found = {}
  for writer in dict.fromkeys(draft.writer for draft in mine):
    seen = [d.review for d in mine if d.writer == writer and d.review]
    if seen:
      kept = sum(verdict in ("accepted", "edited") for verdict in seen)
      found[writer] = _share(kept, len(seen))
  return found


def _share(good: int, count: int) -> dict[str, Any]:
  return {"good": good, "of": count, "interval": wilson(good, count)}


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

"""What a run writes: annotation files, drafts to review, doubted labels."""

import collections
import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import build
from crab_jax.annotation import conclusions
from crab_jax.annotation import drafting
from crab_jax.annotation import expansion
from crab_jax.annotation import items
from crab_jax.annotation import placing
from crab_jax.annotation import provenance
from crab_jax.annotation import rle
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import teachers
from crab_jax.annotation import truths
from crab_jax.annotation import work as work_lib
from crab_jax.annotation.review import entries
from crab_jax.data import tasks

DOUBTS = "label_doubts.csv"
_MASKS = "masks"  # folder of those that rows hold as run lengths


def keep_drafts(work: work_lib.Work, drafts: drafting.Drafts) -> None:
  """Writes what is to be reviewed."""
  vocabulary, teaching = work.vocabulary, work.teaching
  files.write_json_lines(
    work.state / entries.FILE,
    (
      entries.line(
        item,
        drafts[item.id],
        _shown(item, work),
        vocabulary.get(item.task, ()),
        teaching.language if teaching else "en",
      )
      for item in work.every
      if _is_reviewed(drafts[item.id])
    ),
  )


def _shown(item: items.Item, work: work_lib.Work) -> dict[str, files.Path]:
  """Column of the media -> its file; a mask of run lengths is drawn."""
  found = {
    column: work.media / facts.path
    for column, facts in item.media.items()
    if facts.path
  }
  if item.row.rle and "mask" in item.media:
    path = work.state / _MASKS / f"{item.media['mask'].sha256}.png"
    if not path.is_file():
      files.make_folder(path.parent)
      files.write_bytes(path, rle.png(rle.decode(item.row.rle)))
    found["mask"] = path
  return found


def _is_reviewed(draft: provenance.Draft) -> bool:
  """Whether a person can say something of it: a text, a caption, times."""
  return (draft.writer != "none" or draft.held) and not draft.dropped


def write_doubts(work: work_lib.Work, drafts: drafting.Drafts) -> None:
  """Writes the rows of which a reviewer says that the label is wrong."""
  doubted = [
    [item.id, item.task, item.row.where, conclusions.state(item.truth),
     str(drafts[item.id].facts.get("reviewer", ""))]
    for item in work.every
    if drafts[item.id].review == "label"
  ]  # fmt: skip
  path = work.out / DOUBTS
  if not doubted:
    files.remove(path)
    return
  buffer = io.StringIO()
  writer = csv.writer(buffer)
  writer.writerow(["id", "task", "from", "label", "reviewer"])
  writer.writerows(doubted)
  files.write_text(path, buffer.getvalue())


def build_all(
  work: work_lib.Work,
  drafts: drafting.Drafts,
  outcomes: Sequence[expansion.Outcome],
) -> dict[str, Any]:
  """Writes the files of every task.

  Args:
    work: the rows.
    drafts: of each, after the review.
    outcomes: why other rows are not built.

  Returns:
    Rows by task and split, and how many were not built for which reason.

  Raises:
    UserError: a template makes a row read as another answer.
  """
  groups: dict[str, list[items.Item]] = {}
  for item in work.every:
    groups.setdefault(item.task, []).append(item)
  unbuilt = list(outcomes)
  counts = {}
  for name in work.table:
    if name in groups:
      counts[name] = _build_task(name, groups[name], drafts, unbuilt, work)
  statuses = collections.Counter(
    (outcome.task, outcome.status) for outcome in unbuilt
  )
  files.write_json_lines(
    work.state / "unbuilt.jsonl", map(dataclasses.asdict, unbuilt)
  )
  return {
    "tasks": counts,
    "unbuilt": [
      {"task": task, "status": status, "rows": count}
      for (task, status), count in sorted(statuses.items())
    ],
  }


def _build_task(
  name: str,
  own: Sequence[items.Item],
  drafts: drafting.Drafts,
  unbuilt: list[expansion.Outcome],
  work: work_lib.Work,
) -> dict[str, int]:
  """Writes the files of one task; rows by split."""
  task, folder = work.table[name], work.out / name
  made: dict[str, list[dict]] = {}
  origins = []
  remote = teachers.is_remote(work.teaching)
  for item in own:
    draft = drafts[item.id]
    if why := _withheld(draft, work.settings):
      status, _, reason = why.partition(": ")
      unbuilt.append(
        expansion.Outcome(item.id, name, item.row.where, status, reason)
      )
      continue
    try:
      row = build.row(item, task, draft.text)
      placing.put(item, task, folder, work.media, work.settings.media_as)
    except truths.Unbuildable as error:
      if error.status == build.UNREADABLE and draft.writer == "template":
        raise errors.UserError(
          f"{item.row.where}: the template {draft.text!r} makes it read as"
          f" another answer: {error.reason}"
        ) from error
      unbuilt.append(
        expansion.Outcome(
          item.id, name, item.row.where, error.status, error.reason
        )
      )
      continue
    mine = made.setdefault(item.split, [])
    origins.append(provenance.line(item, len(mine), draft, remote))
    mine.append(row)
  contents = {
    f"{split}.json": files.json_document(found) for split, found in made.items()
  }
  contents[provenance.FILE] = b"".join(map(files.json_line, origins))
  for split in tasks.SPLITS:
    if split not in made:
      files.remove(folder / f"{split}.json")
  files.write_together(folder, contents, last=provenance.FILE)
  return {split: len(made[split]) for split in tasks.SPLITS if split in made}


def _withheld(draft: provenance.Draft, settings: settings_lib.Settings) -> str:
  """Why a draft is not built, "status: reason"; "": it is."""
  if draft.dropped:
    return draft.dropped
  codes = ", ".join(dict.fromkeys(draft.checks))
  if draft.held and not draft.review:
    return f"needs_review: {codes}"
  wanted = settings.require_review
  needs = wanted == "all" or (wanted == "flagged" and draft.flagged)
  if needs and draft.writer != "none" and not draft.review:
    return f"unreviewed: {codes or 'every row is to be reviewed'}"
  return ""

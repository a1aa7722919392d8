"""Clips and labels -> annotation files with reasoning, which `prepare` reads.

Stages: rows -> media (hashed, measured) -> items (clips, parts of clips, true
answers) -> splits by group -> reasoning -> `{task}/{split}.json`, its media and
its provenance. What a stage learns at a cost is logged in {out}/.annotate/ as it
is learnt; the rest is computed anew, so that a run that was stopped at any
moment goes on, and gives the bytes of one that was not.

`annotate.json` is written last: with it the folder is complete.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import cost_estimate
from crab_jax.annotation import display_names
from crab_jax.annotation import drafting
from crab_jax.annotation import expansion
from crab_jax.annotation import items
from crab_jax.annotation import licences
from crab_jax.annotation import media_files
from crab_jax.annotation import near_doubles
from crab_jax.annotation import outputs
from crab_jax.annotation import report
from crab_jax.annotation import rows
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import splits
from crab_jax.annotation import teachers
from crab_jax.annotation import weak_labels
from crab_jax.annotation import work as work_lib
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.review import reviews
from crab_jax.annotation.teaching import batches
from crab_jax.annotation.teaching import cache as cache_lib
from crab_jax.annotation.teaching import examples as examples_lib
from crab_jax.annotation.teaching import spending
from crab_jax.data import tasks

STATE = ".annotate"
SUMMARY = "annotate.json"
_VERSION = 4  # grows when the same inputs begin to give other rows
_NAMED = 10  # rows that are named with each reason

Show = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What an annotation is made of.

  Attributes:
    found: the rows of the source.
    faults: its lines that are none.
    media: the folder of the media files.
    out: the folder to write.
    table: the tasks.
    settings: how.
    teaching: whom to ask for reasoning; None: nobody.
    transport: how fast, and at what price.
    batch: "write", "read=FILE" or None, of batch files.
    dry_run: whether only what a teacher would cost is told.
  """

  found: Sequence[rows.Row]
  faults: Sequence[schema.Fault]
  media: files.Path
  out: files.Path
  table: tasks.Tasks
  settings: settings_lib.Settings
  teaching: settings_lib.Teaching | None = None
  transport: settings_lib.Transport = settings_lib.Transport()
  batch: str | None = None
  dry_run: bool = False

  @property
  def language(self) -> str:
    """Of the texts; templates are English."""
    return self.teaching.language if self.teaching else "en"


def annotate(inputs: Inputs, show: Show = print) -> dict[str, Any]:
  """Makes the annotation files; one that is complete is left as it is.

  Returns:
    The content of annotate.json.

  Raises:
    UserError: the source has lines that are no rows, or what belongs together
      is in several splits, or another process writes to the folder.
  """
  _require_rows(inputs)
  begun = time.monotonic()
  with _locked(inputs.out):
    state = inputs.out / STATE
    files.make_folder(state)
    examples = _examples(inputs, state)
    mark = _fingerprint(inputs, examples)
    done = _summary(inputs.out)
    if done.get("fingerprint") == mark:
      show(f"{inputs.out} is complete: nothing to do")
      return done
    library = media_files.Library(inputs.media, state / "media.jsonl")
    work = work_lib.Work(
      (), inputs.table, inputs.settings, inputs.teaching, inputs.transport,
      inputs.media, inputs.out, state, examples,
    )  # fmt: skip
    batch = _open_batch(work, inputs, show)
    built, outcomes = _expanded(work, library, inputs, batch, show)
    if batch is None:  # else rows may wait for a reply
      _require_explained(inputs.found, built, outcomes)
    built = splits.divide(built, inputs.settings, show)
    names = display_names.table(
      built, inputs.table, inputs.out, inputs.language
    )
    built = display_names.named(built, names)
    work = dataclasses.replace(work, every=built)
    if inputs.dry_run:
      return cost_estimate.tell(work, outcomes, show)
    if batch is not None and _is_waiting(work, batch, show):
      return {}
    drafts = _with_findings(drafting.write(work, show, batch), built)
    near = _near_doubles(built, inputs, show)
    drafts = _with_near_doubles(drafts, near)
    outputs.keep_drafts(work, drafts)
    decisions = reviews.read(inputs.out)
    drafts = reviews.applied(drafts, decisions)
    files.remove(inputs.out / SUMMARY)
    summary = {
      "version": _VERSION,
      "settings": dataclasses.asdict(inputs.settings),
      "teaching": _told_teaching(inputs.teaching),
      "rows": len(inputs.found) + len(inputs.faults),
      "invalid": len(inputs.faults),
      **outputs.build_all(work, drafts, outcomes),
    }
    outputs.write_doubts(work, drafts)
    summary["review"] = reviews.agreement(decisions)
    files.write_json(inputs.out / display_names.FILE, names)
    judged = bool(inputs.teaching and inputs.teaching.judge)
    tariff = spending.tariff(inputs.transport)
    found = report.make(built, drafts, summary, judged, tariff)
    report.write(found, inputs.out)
    summary = {"fingerprint": mark, **summary}
    files.write_json(inputs.out / SUMMARY, summary, sync=True)
    seconds = max(time.monotonic() - begun, 1e-3)
    show(
      f"{summary['rows']} rows in {seconds:.1f} s,"
      f" {summary['rows'] / seconds:.1f} rows/s"
    )
    show(table_text(summary))
    return summary


def _require_rows(inputs: Inputs) -> None:
  """Raises UserError for a source with faults, or without rows."""
  faults = inputs.faults
  if faults and not inputs.settings.allow_invalid:
    named = "; ".join(map(str, faults[:_NAMED]))
    raise errors.UserError(
      f"{len(faults)} lines are no rows: {named}. Mend them, or leave them out"
      " (--allow_invalid)"
    )
  if not inputs.found:
    raise errors.UserError("the source has no rows")


def _require_explained(
  found: Sequence[rows.Row],
  built: Sequence[items.Item],
  outcomes: Sequence[expansion.Outcome],
) -> None:
  """Raises UserError for rows that are neither built nor explained."""
  known = {item.row.where for item in built} | {one.where for one in outcomes}
  lost = [row.where for row in found if row.where not in known]
  if lost:
    raise errors.UserError(
      f"{len(lost)} of {len(found)} rows are neither built nor explained:"
      f" {'; '.join(lost[:_NAMED])}. This is a mistake of the program"
    )


@contextlib.contextmanager
def _locked(out: files.Path) -> Iterator[None]:
  """Keeps a second process out of the folder."""
  with contextlib.ExitStack() as stack:
    try:
      files.make_folder(out)
      stack.enter_context(files.lock(out / ".annotate.lock"))
    except files.Locked as error:
      raise errors.UserError(f"another process annotates {out}") from error
    except OSError as error:
      raise errors.UserError(f"cannot write to {out}: {error}") from error
    yield


def _summary(out: files.Path) -> dict[str, Any]:
  """annotate.json, or {}."""
  try:
    found = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
  except (OSError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def _examples(
  inputs: Inputs, state: files.Path
) -> examples_lib.Examples | None:
  """What people accepted, as examples for the teacher; None: ours."""
  teaching = inputs.teaching
  if teaching is None or teaching.examples != "reviewed":
    return None
  prompts = teachers.open_prompts(teaching)
  return examples_lib.chosen(inputs.out, state, inputs.table, prompts)


def _fingerprint(inputs: Inputs, examples: examples_lib.Examples | None) -> str:
  """A hash of everything that the files depend on."""
  paths = {path for row in inputs.found for path in _paths(row)}
  facts = {
    "version": _VERSION,
    "rows": [dataclasses.asdict(row) for row in inputs.found],
    "faults": [dataclasses.asdict(fault) for fault in inputs.faults],
    "settings": dataclasses.asdict(inputs.settings),
    "tasks": [dataclasses.asdict(task) for task in inputs.table.own],
    "media": {p: files.stamp(inputs.media / p) for p in sorted(paths)},
    "templates": _hash_of(inputs.settings.templates),
    "tokenizer": _hash_of(_tokenizer_file(inputs.settings)),
    "names": display_names.edited(inputs.out, inputs.language),
    "reviews": _hash_of(str(inputs.out / reviews.FILE)),
    "teaching": inputs.teaching and dataclasses.asdict(inputs.teaching),
    "examples": examples and [examples.texts, sorted(examples.rows)],
    "prompts": inputs.teaching and _hash_of(inputs.teaching.prompts),
  }
  text = json.dumps(facts, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()


def _told_teaching(
  teaching: settings_lib.Teaching | None,
) -> dict[str, Any] | None:
  """Who wrote and judged, with hosts: addresses may hold what is secret."""
  if teaching is None:
    return None
  judge = teaching.judge and licences.host(teaching.judge)
  return dataclasses.asdict(teaching) | {
    "url": licences.host(teaching.url),
    "judge": judge,
  }


def _tokenizer_file(settings: settings_lib.Settings) -> str | None:
  folder = settings.tokenizer
  return str(files.path(folder) / token_counts.FILE) if folder else None


def _paths(row: rows.Row) -> list[str]:
  return [*row.media.values(), *([row.mask] if row.mask else [])]


def _hash_of(path: str | None) -> str | None:
  file = path and files.path(path)
  return media_files.sha256(file) if file and file.is_file() else None


def _near_doubles(
  built: Sequence[items.Item], inputs: Inputs, show: Show
) -> dict[str, findings.Finding]:
  """Id -> what is found of clips that look like one of another split."""
  if inputs.settings.allow_overlap:
    return {}
  log = inputs.out / STATE / near_doubles.FILE
  return near_doubles.find(built, inputs.media, log, show)


def _with_findings(
  drafts: drafting.Drafts, built: Sequence[items.Item]
) -> drafting.Drafts:
  """The drafts; those whose times a teacher proposed wait for a person."""
  held = {
    item.id: dataclasses.replace(
      drafts[item.id], found=(*drafts[item.id].found, finding), held=True
    )
    for item in built
    if (finding := weak_labels.finding(item))
  }
  return drafts | held


def _with_near_doubles(
  drafts: drafting.Drafts, found: dict[str, findings.Finding]
) -> drafting.Drafts:
  """The drafts, with what is found of their clips."""
  more = {
    name: dataclasses.replace(
      drafts[name], found=(*drafts[name].found, finding)
    )
    for name, finding in found.items()
  }
  return drafts | more


def _expanded(
  work: work_lib.Work,
  library: media_files.Library,
  inputs: Inputs,
  batch: batches.Writer | None,
  show: Show,
) -> tuple[list[items.Item], list[expansion.Outcome]]:
  """What can be built of the rows, and what became of the others."""
  found, settings = inputs.found, inputs.settings
  outcomes: list[expansion.Outcome] = []
  if settings.weak == "teacher":
    if inputs.teaching is None:
      raise errors.UserError("--weak=teacher needs --teacher and --model")
    if inputs.dry_run:  # asks nobody: as long as the clip is near enough
      settings = dataclasses.replace(settings, weak="whole")
    else:
      found, outcomes = weak_labels.with_times(
        found, work, library, show, batch
      )
  built, more = expansion.expand(found, inputs.table, library, settings)
  return built, outcomes + more


def _open_batch(
  work: work_lib.Work, inputs: Inputs, show: Show
) -> batches.Writer | None:
  """Reads the replies of a batch; the writer of what is still to be asked."""
  batch = inputs.batch
  if batch is None:
    return None
  if batch.startswith("read="):
    path = files.path(batch.removeprefix("read="))
    cache = cache_lib.Cache(work.state / teachers.CACHE)
    new, failed = batches.read(path, cache)
    show(f"{path}: {new} new replies")
    for one in failed[:_NAMED]:
      show(f"failed: {one}")
  elif batch != "write":
    raise errors.UserError(f"--batch={batch}: it is write, or read=FILE")
  return teachers.open_batch(work)


def _is_waiting(
  work: work_lib.Work, writer: batches.Writer, show: Show
) -> bool:
  """Writes the batch files; whether there is anything left to ask."""
  teachers.write_batch(work, writer)
  if not writer.count:
    return False
  for written in writer.paths:
    show(f"{written}")
  show(
    f"{writer.count} requests to send; then --batch=read=FILE for each file of"
    " replies"
  )
  return True


def table_text(summary: dict[str, Any]) -> str:
  """The counts as text: a line a task, then what was not built."""
  lines = [
    f"{name}: "
    + (", ".join(f"{n} {split}" for split, n in counts.items()) or "nothing")
    for name, counts in summary["tasks"].items()
  ]
  lines += [
    f"not built: {found['rows']} of {found['task']}, {found['status']}"
    for found in summary["unbuilt"]
  ]
  if summary["invalid"]:
    lines.append(f"not built: {summary['invalid']} lines that are no rows")
  return "\n".join(lines)

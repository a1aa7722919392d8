"""Reasoning without a teacher: sentences that the label entails.

`annotate_templates.json` holds openings and closings for each family; the hash
of a row's id chooses one plan of their product.
"""

import hashlib
import json
import pathlib
import string
from collections.abc import Mapping

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import beside
from crab_jax.annotation import facts
from crab_jax.annotation import items
from crab_jax.annotation import truths
from crab_jax.data import tasks

_OURS = pathlib.Path(__file__).with_name("annotate_templates.json")
_SLOTS = {
  "facts",
  "label",
  "question",
  "candidates",
  "given",
  "ordinal",
  "other",
  "seen",
  "heard",
}
# Kind of answer -> the sentences of a family of one's own.
_OF_KIND = {
  "label": "action",
  "events": "localization",
  "place": "segmentation",
  "existence": "existence",
}
_NUMBERS = ("first", "second")

Plans = Mapping[str, tuple[str, ...]]  # family -> whole reasonings with slots


def load(path: files.Path | None) -> Plans:
  """The plans of a file; None: ours.

  Raises:
    UserError: no such file, or not of its form.
  """
  file = _OURS if path is None else path
  try:
    tree = json.loads(file.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise errors.UserError(f"templates {file}: {error}") from None
  if not isinstance(tree, dict):
    raise errors.UserError(f"templates {file}: it should be a JSON object")
  found = {}
  for family, parts in tree.items():
    if family.startswith("_"):
      continue
    try:
      plans = [
        f"{opening} {closing}"
        for opening in parts["openings"]
        for closing in parts["closings"]
      ]
    except (KeyError, TypeError):
      raise errors.UserError(
        f"templates {file}: {family} should have openings and closings"
      ) from None
    for plan in plans:
      check_slots(plan, f"templates {file}: {family}")
    found[family] = tuple(plans)
  if missing := sorted({*_OF_KIND.values()} - {*found}):
    raise errors.UserError(f"templates {file} lack {', '.join(missing)}")
  return found


def check_slots(plan: str, where: str) -> None:
  """Raises UserError for a slot that nothing fills."""
  try:
    pieces = list(string.Formatter().parse(plan))
  except ValueError as error:
    raise errors.UserError(f"{where}: {plan!r}: {error}") from None
  used = {piece[1] for piece in pieces if piece[1] is not None}
  if unknown := sorted(used - _SLOTS):
    raise errors.UserError(
      f"{where}: unknown slot {{{unknown[0]}}}; known: {', '.join(_SLOTS)}"
    )


def write(item: items.Item, task: tasks.Task, plans: Plans) -> str:
  """The reasoning of a row; "" for a caption, which is its own target."""
  if task.kind == "caption":
    return ""
  choice = task.templates or _plans(task, plans)
  digest = hashlib.sha256(item.id.encode()).digest()
  plan = choice[int.from_bytes(digest[:8]) % len(choice)]
  return " ".join(plan.format(**slots(item, task)).split())


def _plans(task: tasks.Task, plans: Plans) -> tuple[str, ...]:
  if task.kind == "existence":
    return plans["existence"]
  return plans.get(task.family) or plans[_OF_KIND[task.kind]]


def slots(item: items.Item, task: tasks.Task) -> dict[str, str]:
  """What fills the slots of a plan."""
  truth, row = item.truth, item.row
  said = _facts(item, task, truth)
  filled = {
    "facts": said,
    "label": item.spoken(truth.answer.label or truth.name),
    "question": facts.question(row) if row.question else "",
    "seen": "In the frames it is seen.",
    "heard": "In the sound it is heard.",
  }
  if task.family == "matching":
    chosen = int(truth.answer.label or 1) - 1
    of_sounds = "audio2" in row.media or task.media[0].startswith("video")
    filled |= {
      "candidates": "sounds" if of_sounds else "videos",
      "given": "video" if of_sounds else "sound",
      "ordinal": _NUMBERS[chosen],
      "other": _NUMBERS[1 - chosen],
    }
  else:
    filled |= dict.fromkeys(("candidates", "given", "ordinal", "other"), "")
  return filled


def helps(item: items.Item) -> str:
  """Transcript, hint and events beside the answer as sentences; "" without."""
  row = item.row
  told = beside.tell(
    item.beside,
    item.length,
    item.spoken,
    question=row.question,
    question_type=row.question_type,
    hint=row.hint,
  )
  return f"{facts.helps(row)} {told}".strip()


def _facts(item: items.Item, task: tasks.Task, truth: truths.Truth) -> str:
  if task.kind == "events":
    modal = truths.tells_modality(task)
    told = facts.of_events(truth.answer.events, item.length, modal, item.spoken)
  elif task.kind in ("place", "existence"):
    told = facts.of_place(truth, item.spoken)
  else:
    told = ""
  return f"{told} {helps(item)}".strip()

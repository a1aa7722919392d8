"""What people decide about drafts, and how it changes what is built.

`{out}/reviews.jsonl` is append only, a line a decision: id, hash of the text
that was looked at, verdict, text, reason, reviewer, time. A text that changed
since is unreviewed again. "undo" takes back the last decision about its row.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from crab_jax import files
from crab_jax.annotation import lines
from crab_jax.annotation import provenance

FILE = "reviews.jsonl"
VERDICTS = ("accept", "edit", "reject", "label", "undo")
REASONS = (
  "wrong label",
  "invented",
  "poor language",
  "broken media",
  "other",
)


def text_hash(text: str) -> str:
  """What names the text of a draft."""
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(out: files.Path) -> list[dict[str, Any]]:
  """All decisions, in order."""
  return lines.Log(out / FILE).lines


def standing(
  decisions: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
  """(row, hash of its text) -> decisions that were not taken back."""
  found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
  for decision in decisions:
    stack = found.setdefault((decision["id"], decision["hash"]), [])
    if decision["verdict"] != "undo":
      stack.append(decision)
      continue
    # Everybody takes back their own.
    for index in reversed(range(len(stack))):
      if stack[index]["reviewer"] == decision["reviewer"]:
        del stack[index]
        break
  return {key: stack for key, stack in found.items() if stack}


def applied(
  drafts: Mapping[str, provenance.Draft], decisions: Iterable[Mapping[str, Any]]
) -> dict[str, provenance.Draft]:
  """The drafts after the last decision about each."""
  found = dict(drafts)
  kept = standing(decisions)
  for name, draft in drafts.items():
    if stack := kept.get((name, text_hash(draft.text))):
      found[name] = _decided(draft, stack[-1])
  return found


def _decided(
  draft: provenance.Draft, decision: Mapping[str, Any]
) -> provenance.Draft:
  verdict, by = decision["verdict"], decision["reviewer"]
  facts = {**draft.facts, "reviewer": by}
  if verdict == "accept":
    return dataclasses.replace(draft, facts=facts, review="accepted")
  if verdict == "edit":
    facts["draft"] = draft.text
    return dataclasses.replace(
      draft, text=decision["text"], facts=facts, review="edited"
    )
  if verdict == "label":
    return dataclasses.replace(
      draft, facts=facts, dropped=f"label_doubted: by {by}", review="label"
    )
  reason = decision.get("reason") or "other"
  return dataclasses.replace(
    draft, facts=facts, dropped=f"rejected: {reason}", review="rejected"
  )


def agreement(
  decisions: Iterable[Mapping[str, Any]],
) -> dict[str, float | int | None]:
  """How often two reviewers of one text agree, and Cohen's kappa.

  "accept" and "edit" keep a row, the others do not. Reference: Cohen 1960.

  Returns:
    {"pairs", "agreement", "kappa"}; None where there is no pair, and for kappa
    where chance alone agrees always.
  """
  votes: dict[tuple[str, str], dict[str, bool]] = collections.defaultdict(dict)
  for key, stack in standing(decisions).items():
    for decision in stack:
      kept = decision["verdict"] in ("accept", "edit")
      votes[key][decision["reviewer"]] = kept
  pairs = [
    tuple(kept for _, kept in sorted(by.items())[:2])
    for by in votes.values()
    if len(by) >= 2
  ]
  if not pairs:
    return {"pairs": 0, "agreement": None, "kappa": None}
  share = sum(a == b for a, b in pairs) / len(pairs)
  one, other = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
  chance = one * other + (1 - one) * (1 - other)
  kappa = (share - chance) / (1 - chance) if chance < 1 else None
  return {"pairs": len(pairs), "agreement": share, "kappa": kappa}

"""One reviewer at one folder: what is shown, and what is decided."""

import dataclasses
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from crab_jax import files
from crab_jax.annotation import lines
from crab_jax.annotation import rows
from crab_jax.annotation.checking import checks
from crab_jax.annotation.review import entries as entries_lib
from crab_jax.annotation.review import reviews
from crab_jax.data import tasks

# of an entry, what the page needs not
_SHOWN = ("vocabulary", "media", "row")


class Session:
  """One reviewer at one folder."""

  def __init__(
    self,
    out: files.Path,
    state: files.Path,
    table: tasks.Tasks,
    reviewer: str,
    share: float,
  ):
    self._entries = {e["id"]: e for e in entries_lib.read(state)}
    self._contexts = {
      name: entries_lib.context(entry, table)
      for name, entry in self._entries.items()
    }
    self._log = lines.Log(out / reviews.FILE)
    self._reviewer = reviewer
    self._lock = threading.Lock()
    self.queue = entries_lib.queue(
      list(self._entries.values()), self._log.lines, reviewer, share
    )
    self.key = secrets.token_urlsafe(16)

  def shown(self) -> list[dict[str, Any]]:
    """The queue as the page gets it."""
    return [
      {
        **{name: value for name, value in entry.items() if name not in _SHOWN},
        "question": entry["row"]["question"],
        "transcript": entry["row"]["transcript"],
        "hint": entry["row"]["hint"],
        "media": sorted(entry["media"]),
      }
      for entry in self.queue
    ]

  def check(self, name: str, text: str) -> list[dict[str, Any]]:
    """What is wrong with a text."""
    found = checks.run(text, self._contexts[name])
    return [dataclasses.asdict(finding) for finding in found]

  def decide(self, said: Mapping[str, Any]) -> str | None:
    """Logs a decision; why it is none, or None."""
    if problem := self.problem(said):
      return problem
    entry = self._entries[str(said["id"])]
    is_edit = said["verdict"] == "edit"
    with self._lock:
      self._log.add(
        {
          "id": entry["id"],
          "hash": entry["hash"],
          "verdict": said["verdict"],
          "text": " ".join(said["text"].split()) if is_edit else "",
          "reason": str(said.get("reason") or ""),
          "reviewer": self._reviewer,
          "time": round(time.time(), 3),
        }
      )
    return None

  def problem(self, said: Mapping[str, Any]) -> str | None:
    """Why something is no decision, or None."""
    name, verdict = str(said.get("id")), said.get("verdict")
    if name not in self._entries or verdict not in reviews.VERDICTS:
      return "no such row or verdict"
    if verdict != "edit":
      return None
    text = said.get("text")
    if not isinstance(text, str) or not text.split():
      return "the text is empty"
    found = self.check(name, " ".join(text.split()))
    if {one["code"] for one in found} & {"parse", "marks"}:
      return "the text would be read as another answer"
    return None

  def media(self, name: str, column: str) -> str | None:
    """The file of a row."""
    entry = self._entries.get(name)
    if entry is None or column not in (*rows.MEDIA, "mask"):
      return None
    return entry["media"].get(column)

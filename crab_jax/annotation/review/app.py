"""The local page of the review, and its server.

The address holds a key, so that no other page of the browser can decide. The
decision is in the log before the page shows the next draft.
"""

import dataclasses
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import uvicorn
from starlette import applications
from starlette import requests
from starlette import responses
from starlette import routing

from crab_jax import files
from crab_jax.annotation import lines
from crab_jax.annotation import rows
from crab_jax.annotation.checking import checks
from crab_jax.annotation.review import entries as entries_lib
from crab_jax.annotation.review import reviews
from crab_jax.data import tasks

_PAGE = pathlib.Path(__file__).with_name("page.html")
_SHOWN = ("vocabulary", "media", "row")  # of an entry, what the page needs not


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
    entry = self._entries.get(str(said.get("id")))
    verdict = said.get("verdict")
    if entry is None or verdict not in reviews.VERDICTS:
      return "no such row or verdict"
    text = str(said.get("text") or "")
    if verdict == "edit":
      text = " ".join(text.split())
      wrong = {found["code"] for found in self.check(entry["id"], text)}
      if wrong & {"parse", "marks"} or not text:
        return "the text would be read as another answer"
    with self._lock:
      self._log.add(
        {
          "id": entry["id"],
          "hash": entry["hash"],
          "verdict": verdict,
          "text": text if verdict == "edit" else "",
          "reason": str(said.get("reason") or ""),
          "reviewer": self._reviewer,
          "time": round(time.time(), 3),
        }
      )
    return None

  def media(self, name: str, column: str) -> str | None:
    """The file of a row."""
    entry = self._entries.get(name)
    if entry is None or column not in (*rows.MEDIA, "mask"):
      return None
    return entry["media"].get(column)


def build(session: Session) -> applications.Starlette:
  """The application of a session."""

  def allowed(request: requests.Request) -> bool:
    key = request.query_params.get("key", "")
    return secrets.compare_digest(key.encode(), session.key.encode())

  async def page(request: requests.Request) -> responses.Response:
    if not allowed(request):
      return responses.PlainTextResponse("no key", 403)
    return responses.HTMLResponse(_PAGE.read_text(encoding="utf-8"))

  async def listed(request: requests.Request) -> responses.Response:
    if not allowed(request):
      return responses.PlainTextResponse("no key", 403)
    return responses.JSONResponse(
      {"rows": session.shown(), "reasons": list(reviews.REASONS)}
    )

  async def check(request: requests.Request) -> responses.Response:
    said = await _said(request) if allowed(request) else None
    if said is None or str(said.get("id")) not in {
      entry["id"] for entry in session.queue
    }:
      return responses.PlainTextResponse("no", 403)
    found = session.check(str(said["id"]), str(said.get("text") or ""))
    return responses.JSONResponse(found)

  async def decide(request: requests.Request) -> responses.Response:
    said = await _said(request) if allowed(request) else None
    if said is None:
      return responses.PlainTextResponse("no", 403)
    wrong = session.decide(said)
    return responses.JSONResponse({"error": wrong}, 400 if wrong else 200)

  async def media(request: requests.Request) -> responses.Response:
    params = request.path_params
    path = session.media(params["name"], params["column"])
    if not allowed(request) or path is None:
      return responses.PlainTextResponse("no", 403)
    return responses.FileResponse(path)

  return applications.Starlette(
    routes=[
      routing.Route("/", page),
      routing.Route("/rows", listed),
      routing.Route("/check", check, methods=["POST"]),
      routing.Route("/decide", decide, methods=["POST"]),
      routing.Route("/media/{column}/{name:path}", media),
    ]
  )


async def _said(request: requests.Request) -> dict[str, Any] | None:
  """The object that a request holds, or None."""
  try:
    found = await request.json()
  except ValueError:
    return None
  return found if isinstance(found, dict) else None


def serve(session: Session, port: int) -> None:
  """Serves the page on this machine until it is interrupted."""
  config = uvicorn.Config(build(session), log_level="warning")
  with socket.create_server(("127.0.0.1", port)) as listener:
    free = listener.getsockname()[1]  # of port 0 the one that was free
    print(
      f"{len(session.queue)} drafts to review:"
      f" http://127.0.0.1:{free}/?key={session.key}",
      flush=True,
    )
    uvicorn.Server(config).run([listener])

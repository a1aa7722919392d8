"""The local page of the review, and its server.

The address holds a key, so that no other page of the browser can decide. The
decision is in the log before the page shows the next draft.
"""

import pathlib
import secrets
import socket
from typing import Any

import uvicorn
from starlette import applications
from starlette import requests
from starlette import responses
from starlette import routing

from crab_jax.annotation.review import reviews
from crab_jax.annotation.review import session as session_lib

_PAGE = pathlib.Path(__file__).with_name("page.html")


def build(session: session_lib.Session) -> applications.Starlette:
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


def serve(session: session_lib.Session, port: int) -> None:
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

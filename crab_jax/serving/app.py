"""The routes of the server; what they do is in `service`.

Every route but the health checks and the page wants a key where keys are used.
Every error has the form of OpenAI's.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncGenerator
from collections.abc import Awaitable
from collections.abc import Callable
from typing import Any

import jax
from absl import logging
from starlette import applications
from starlette import exceptions
from starlette import requests
from starlette import responses
from starlette import routing
from starlette.middleware import cors

import crab_jax
from crab_jax import files
from crab_jax.serving import asked
from crab_jax.serving import clips
from crab_jax.serving import events as events_lib
from crab_jax.serving import failures
from crab_jax.serving import limiting
from crab_jax.serving import metrics
from crab_jax.serving import page_files
from crab_jax.serving import protocol
from crab_jax.serving import replies
from crab_jax.serving import service as services
from crab_jax.serving import streaming

Handler = Callable[[requests.Request], Awaitable[responses.Response]]
_EVENTS = "text/event-stream"
# Proxies must not keep events back.
_EVENT_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_NOT_OFFERED = ("responses", "completions", "embeddings")


def create(
  service: services.Service, about: dict[str, str], own_metrics: bool = False
) -> Any:
  """The application.

  Args:
    service: what the routes call.
    about: what /version tells of the model beside its settings.
    own_metrics: whether metrics have a port of their own and no route.
  """
  routes = _Routes(service, about)
  table = [
    ("/health", "GET", routes.health, False),
    ("/ping", "GET", routes.health, False),
    ("/version", "GET", routes.version, True),
    ("/v1/models", "GET", routes.models, True),
    ("/v1/models/{model}", "GET", routes.model, True),
    ("/v1/chat/completions", "POST", routes.chat, True),
    ("/v1/clips", "POST", routes.clips, True),
    ("/v1/files", "POST", routes.upload, True),
    ("/v1/files", "GET", routes.files, True),
    ("/v1/files/{file}", "GET", routes.file, True),
    ("/v1/files/{file}", "DELETE", routes.delete_file, True),
    ("/v1/files/{file}/content", "GET", routes.file_content, True),
    ("/", "GET", routes.page, False),
    ("/docs", "GET", routes.page, False),
    ("/page/{file}", "GET", routes.page, False),
  ]
  if not own_metrics:
    table.append(("/metrics", "GET", routes.metrics, True))
  found = [
    routing.Route(path, routes.guarded(call, path, key), methods=[method])
    for path, method, call, key in table
  ]
  app = applications.Starlette(
    routes=found,
    exception_handlers={
      exceptions.HTTPException: _http_failure,
      failures.Failure: _failure_reply,
      Exception: _defect,
    },
  )
  app.add_middleware(limiting.Bodies, limits=service.limits)
  if service.limits.origins:
    app.add_middleware(
      cors.CORSMiddleware,
      allow_origins=service.limits.origins,
      allow_methods=["GET", "POST", "DELETE"],
      allow_headers=["authorization", "content-type"],
    )
  return app


def reply(failure: failures.Failure) -> responses.Response:
  """A failure as a reply."""
  return _json(failure.body(), failure.status, failure.headers())


def _json(
  value: Any, status: int = 200, headers: dict | None = None
) -> responses.Response:
  return responses.Response(
    files.json_line(value), status, headers, "application/json"
  )


async def _failure_reply(_, failure) -> responses.Response:
  return reply(failure)


async def _defect(_, error) -> responses.Response:
  del error  # Starlette raises it again, and uvicorn logs it
  return reply(failures.internal())


async def _http_failure(request, error) -> responses.Response:
  """Starlette's own errors: no such route, another method, a damaged form."""
  path = request.url.path
  codes = {404: "not_found", 405: "method_not_allowed"}
  message = {
    404: f"there is no {path[:100]}",
    405: f"{path[:100]} has no method {request.method[:20]}",
  }.get(error.status_code, str(error.detail))
  if path.removeprefix("/v1/") in _NOT_OFFERED:
    message = f"{path} is not offered; ask by POST /v1/chat/completions"
  code = codes.get(error.status_code, "invalid_request")
  found = reply(failures.Failure(error.status_code, code, message))
  found.headers.update(error.headers or {})
  return found


class _Routes:
  """The handlers of one service."""

  def __init__(self, service: services.Service, about: dict[str, str]):
    self._service, self._about = service, about

  def guarded(self, call: Handler, path: str, needs_key: bool) -> Handler:
    """A handler that knows whose the request is, and is counted."""
    service = self._service

    async def handler(request: requests.Request) -> responses.Response:
      try:
        if needs_key:
          owner = service.keys.owner(request.headers.get("authorization"))
          request.state.owner = owner
        found = await call(request)
      except failures.Failure as failure:
        found = reply(failure)
      except exceptions.HTTPException:
        service.metrics.requests.labels(path, "400").inc()
        raise
      except requests.ClientDisconnect:
        found = responses.Response(status_code=499)
      service.metrics.requests.labels(path, str(found.status_code)).inc()
      return found

    return handler

  async def health(self, _) -> responses.Response:
    if self._service.is_ready:
      return _json({"status": "ok"})
    draining = self._service.is_draining
    return reply(failures.draining() if draining else failures.starting())

  async def version(self, _) -> responses.Response:
    config = self._service.model.config
    return _json(
      {
        "version": crab_jax.__version__,
        **self._about,
        "adapter": repr(config.adapter) if config.adapter else None,
        "config": hashlib.sha256(repr(config).encode()).hexdigest()[:16],
        "devices": [device.device_kind for device in jax.devices()],
      }
    )

  async def metrics(self, _) -> responses.Response:
    text = await asyncio.to_thread(self._service.metrics.text)
    return responses.Response(text, media_type=metrics.CONTENT_TYPE)

  async def models(self, _) -> responses.Response:
    names = protocol.model_names(self._service.table)
    return _json({"object": "list", "data": [self._model(n) for n in names]})

  async def model(self, request: requests.Request) -> responses.Response:
    name = request.path_params["model"]
    protocol.task_of(name, self._service.table)
    return _json(self._model(name))

  def _model(self, name: str) -> dict:
    task = self._service.table[protocol.task_of(name, self._service.table)]
    return {
      "id": name,
      "object": "model",
      "created": 0,
      "owned_by": "crab_jax",
      "crab": {
        "task": None if task.name == asked.FREE else task.name,
        "family": task.family,
        "kind": task.kind,
        "sees": task.visual,
        "compares": task.candidates,
        "asks": list(task.question_keys("test")),
      },
    }

  async def chat(self, request: requests.Request) -> responses.Response:
    service, owner = self._service, request.state.owner
    service.require_open()
    service.keys.charge(owner)
    body = await request.body()
    # In a thread: 64 MiB of JSON and base64 take half a second.
    found = await asyncio.to_thread(protocol.chat, body, service.rules)
    headers = {"x-ignored": _header(found.ignored)} if found.ignored else {}
    name = f"chatcmpl-{secrets.token_hex(12)}"
    events = service.answer(found, owner)
    if found.stream:
      return await _streamed(_chunks(events, found, name, service), headers)
    answer = await _while_connected(request, _only_answer(events))
    value = replies.completion(name, answer, found.split_reasoning)
    return _json(value, headers=headers)

  async def clips(self, request: requests.Request) -> responses.Response:
    service, owner = self._service, request.state.owner
    service.require_open()
    service.keys.charge(owner)
    async with contextlib.AsyncExitStack() as held:
      form = await clips.parse(request, service, owner, held)
      events = service.answer(form.asked, owner, form.previews)
      if form.asked.stream:
        # The form's files are held until the stream ends.
        return await _streamed(
          _kept(clips.stream(events, form), held.pop_all())
        )
      value = await _while_connected(request, clips.collect(events, form))
    return _json(value)

  async def upload(self, request: requests.Request) -> responses.Response:
    service, owner = self._service, request.state.owner
    service.require_open()
    service.keys.charge(owner)
    form = await request.form(max_files=1, max_fields=4)
    try:
      file, purpose = form.get("file"), form.get("purpose")
      if file is None or isinstance(file, str):
        failures.invalid("missing_value", "file is required", "file")
      if purpose not in (None, "user_data", "vision", "assistants"):
        failures.invalid("invalid_value", "purpose is user_data", "purpose")
      blob = await service.store.put_stream(clips.pieces(file))
      name = (file.filename or "file")[:200]
      found = service.store.add(blob, owner, name, str(purpose or "user_data"))
    finally:
      await form.close()
    return _json(found.to_json())

  async def files(self, request: requests.Request) -> responses.Response:
    found = self._service.store.all(request.state.owner)
    data = [upload.to_json() for upload in found]
    return _json({"object": "list", "data": data, "has_more": False})

  def _upload(self, request: requests.Request):
    name = request.path_params["file"]
    return self._service.store.get(name, request.state.owner)

  async def file(self, request: requests.Request) -> responses.Response:
    return _json(self._upload(request).to_json())

  async def delete_file(self, request: requests.Request) -> responses.Response:
    upload = self._upload(request)
    self._service.store.delete(upload.id, request.state.owner)
    return _json({"id": upload.id, "object": "file", "deleted": True})

  async def file_content(self, request: requests.Request) -> responses.Response:
    path = self._upload(request).blob.path
    # No type of the client's: a browser must not run what was uploaded.
    return responses.FileResponse(path, media_type="application/octet-stream")

  async def page(self, request: requests.Request) -> responses.Response:
    # Below a proxy the path has its name before it.
    name = request.path_params.get("file", request.url.path.split("/")[-1])
    found = await asyncio.to_thread(page_files.read, name)
    if found is None:
      raise exceptions.HTTPException(404)
    return responses.Response(found[0], media_type=found[1])


def _header(names: tuple[str, ...]) -> str:
  """Names of strangers as the value of a header."""
  text = ", ".join(names)[:500]
  return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


async def _only_answer(events: AsyncGenerator) -> replies.Answer:
  """The answer of a request of one task.

  Raises:
    Failure: there is none.
  """
  async with contextlib.aclosing(events):
    async for event in events:
      if isinstance(event, events_lib.Failed):
        raise event.failure
      if isinstance(event, replies.Answer):
        return event
  raise failures.internal()


async def _while_connected(request: requests.Request, answering) -> Any:
  """What a coroutine gives; it is cancelled when the client has gone."""
  task = asyncio.ensure_future(answering)
  gone = asyncio.ensure_future(_gone(request))
  try:
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
      raise requests.ClientDisconnect()
    return task.result()
  finally:
    for one in (task, gone):
      one.cancel()
    await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: requests.Request) -> None:
  while (await request.receive())["type"] != "http.disconnect":
    pass


async def _kept(
  pieces: AsyncGenerator[bytes], held: contextlib.AsyncExitStack
) -> AsyncGenerator[bytes]:
  async with held, contextlib.aclosing(pieces):
    async for piece in pieces:
      yield piece


async def _streamed(
  pieces: AsyncGenerator[bytes], headers: dict[str, str] | None = None
) -> responses.Response:
  """A stream of events. What fails before the first is an error of HTTP."""
  first = await anext(pieces)

  async def all_of_them() -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(pieces):
      yield first
      try:
        async for piece in pieces:
          yield piece
      except failures.Failure as failure:
        yield streaming.event(failure.body())
      except Exception:
        logging.exception("a stream failed")
        yield streaming.event(failures.internal().body())

  return responses.StreamingResponse(
    all_of_them(),
    media_type=_EVENTS,
    headers={**_EVENT_HEADERS, **(headers or {})},
  )


async def _chunks(
  events: AsyncGenerator,
  request: asked.Asked,
  name: str,
  service: services.Service,
) -> AsyncGenerator[bytes]:
  """The events of a chat request that streams.

  Raises:
    Failure: it fails.
  """
  task = service.table[request.tasks[0]]
  chunks = replies.Chunks(name, task, request.split_reasoning)
  each = request.continuous_usage
  async with contextlib.aclosing(events):
    async for event in events:
      found: list[dict] = []
      if isinstance(event, events_lib.Waiting):
        yield streaming.comment(f"wait {event.ahead}")
      elif isinstance(event, events_lib.Failed):
        raise event.failure
      elif isinstance(event, events_lib.Text):
        found = chunks.text(event.piece, event.usage if each else None)
      elif isinstance(event, replies.Answer):
        counts = replies.usage_of(event)
        found = chunks.finish(event, counts if each else None)
        if request.include_usage:
          found.append(chunks.usage(event))
      for chunk in found:
        yield streaming.event(chunk)
  yield streaming.DONE

"""POST /v1/clips: one clip, several tasks, an answer each.

A form with `video`, `audio`, `image` (files, or ids of uploaded ones), `tasks`
("all", or names by commas), `question`, `options` (one a field, or by line
ends), `max_tokens` of each answer, and the switches `gates`, `stream`,
`previews`.
"""

import base64
import contextlib
import dataclasses
import re
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any

from starlette import datastructures
from starlette import requests

from crab_jax.data import tasks
from crab_jax.serving import asked
from crab_jax.serving import events as events_lib
from crab_jax.serving import failures
from crab_jax.serving import protocol
from crab_jax.serving import replies
from crab_jax.serving import service as services
from crab_jax.serving import streaming

_ALL = "all"
_KINDS = ("video", "audio", "image")
_FIELDS = 40
_FIELD_BYTES = 64 << 10
_PIECE = 1 << 18  # bytes that are copied at a time
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_TRUE = ("1", "true", "yes", "on")


@dataclasses.dataclass(frozen=True)
class Form:
  """A form, parsed.

  Attributes:
    asked: what it asks; no task: all that fit.
    previews: whether frames for people are wanted.
    name: of the reply, "clip-...".
  """

  asked: asked.Asked
  previews: bool
  name: str


async def pieces(file: datastructures.UploadFile) -> AsyncGenerator[bytes]:
  """The content of a file of a form."""
  while piece := await file.read(_PIECE):
    yield piece


async def parse(
  request: requests.Request,
  service: services.Service,
  owner: str,
  held: contextlib.AsyncExitStack,
) -> Form:
  """The form of a request.

  Args:
    request: of a client.
    service: keeps its files.
    owner: whose they are.
    held: the files are there until it ends.

  Raises:
    Failure: 400.
  """
  if not request.headers.get("content-type", "").startswith(
    "multipart/form-data"
  ):
    failures.invalid("invalid_request", "send a form, multipart/form-data")
  form = await request.form(
    max_files=service.limits.form_parts,
    max_fields=_FIELDS,
    max_part_size=_FIELD_BYTES,
  )
  held.push_async_callback(form.close)
  cut, parts = _cut(form), []
  for kind in _KINDS:
    for value in form.getlist(kind):
      part = await _part(kind, value, service, owner, held)
      if kind != "image":
        part = dataclasses.replace(part, start=cut[0], end=cut[1])
      parts.append(part)
  names = _tasks(_text(form, "tasks") or _ALL, service.table)
  question = _text(form, "question")
  if question and len(question) > service.limits.text_characters:
    failures.invalid("too_long", "the question is too long", "question")
  options = [
    line.strip()
    for value in form.getlist("options")
    for line in str(value).splitlines()
    if line.strip()
  ]
  for name in names:
    if name == asked.FREE or len(names) == 1:
      protocol.check_question(
        service.table[name], question, tuple(options), "question"
      )
  return Form(
    asked.Asked(
      tasks=names,
      parts=tuple(parts),
      wording=asked.Wording(question or None, tuple(options)),
      sampling=asked.Sampling(_most_tokens(form, service)),
      gates=_switch(form, "gates"),
      stream=_switch(form, "stream"),
    ),
    _switch(form, "previews"),
    f"clip-{secrets.token_hex(12)}",
  )


async def _part(kind, value, service, owner, held) -> asked.Part:
  """A medium of a form: a file, or the id of one that was uploaded."""
  if isinstance(value, str):
    source = asked.Source(file_id=value)
  else:
    blob = await service.store.put_stream(pieces(value))
    held.callback(service.store.release, blob)
    source = asked.Source(blob=blob)
  return asked.Part(kind, source, None, None, kind)


def _cut(
  form: datastructures.FormData,
) -> tuple[float | None, float | None]:
  """The seconds `start` and `end`, of all media that have time."""
  found = []
  for name in ("start", "end"):
    text = _text(form, name)
    if text and not _SECONDS.fullmatch(text):
      failures.invalid("invalid_value", f"{name} must be seconds", name)
    found.append(float(text) if text else None)
  start, end = found
  if end is not None and end <= (start or 0.0):
    failures.invalid("invalid_value", "end must lie after start", "end")
  return start, end


def _text(form: datastructures.FormData, name: str) -> str | None:
  value = form.get(name)
  if value is not None and not isinstance(value, str):
    failures.invalid("invalid_value", f"{name} must be text", name)
  return value.strip() if value else None


def _most_tokens(
  form: datastructures.FormData, service: services.Service
) -> int | None:
  """Tokens that an answer may have; None: as many as the server allows."""
  text = _text(form, "max_tokens")
  if text is None:
    return None
  if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0):
    failures.invalid(
      "invalid_value", "max_tokens must be a number above 0", "max_tokens"
    )
  if len(text) > 9 or int(text) > (most := service.rules.max_new_tokens):
    failures.invalid(
      "too_long",
      f"at most {most} tokens are answered (--new_tokens)",
      "max_tokens",
    )
  return int(text)


def _switch(form: datastructures.FormData, name: str) -> bool:
  return (_text(form, name) or "").lower() in _TRUE


def _tasks(text: str, table: tasks.Tasks) -> tuple[str, ...]:
  """Names of rows; (): all that fit."""
  names = [name.strip() for name in text.split(",") if name.strip()]
  if _ALL in names:
    return ()
  found = [
    protocol.task_of(
      protocol.MODEL if n == protocol.MODEL else f"{protocol.MODEL}:{n}",
      table,
      "tasks",
    )
    for n in names
  ]
  return tuple(dict.fromkeys(found))


async def stream(events: AsyncGenerator, form: Form) -> AsyncGenerator[bytes]:
  """The events of a form, as they come."""
  async with contextlib.aclosing(events):
    async for event in events:
      if isinstance(event, events_lib.Waiting):
        yield streaming.comment(f"wait {event.ahead}")
      for value in _values(event):
        yield streaming.event(value)
  yield streaming.DONE


def _values(event: events_lib.Event) -> list[dict[str, Any]]:
  """What an event is for the client."""
  if isinstance(event, events_lib.Waiting):
    return [{"event": "waiting", "ahead": event.ahead}]
  if isinstance(event, events_lib.Opened):
    return [{"event": "opened", **_opened(event)}]
  if isinstance(event, events_lib.Started):
    return [{"event": "started", "task": _name(event.task)}]
  if isinstance(event, events_lib.Text):
    task = _name(event.task)
    return [{"event": "text", "task": task, "delta": event.piece}]
  if isinstance(event, events_lib.Failed):
    return [{"event": "failed", **_failed(event)}]
  return [{"event": "answer", **_answer(event)}]


def _name(task: str) -> str:
  return protocol.MODEL if task == asked.FREE else task


def _opened(event: events_lib.Opened) -> dict[str, Any]:
  found = event.opened
  return {
    "tasks": list(map(_name, found.prompts)),
    "left_out": [
      {"task": task, "reason": why} for task, why in found.left_out.items()
    ],
    "frames": [
      {
        "seconds": round(seconds, 3),
        "url": "data:image/jpeg;base64," + base64.b64encode(data).decode(),
      }
      for seconds, data in found.previews
    ],
  }


def _failed(event: events_lib.Failed) -> dict[str, Any]:
  return {"task": _name(event.task), **event.failure.body()}


def _answer(answer: replies.Answer) -> dict[str, Any]:
  return {
    "task": _name(answer.task.name),
    "content": answer.text,
    "finish_reason": answer.finish,
    "crab": replies.crab(answer),
    "usage": replies.usage_of(answer),
  }


async def collect(events: AsyncGenerator, form: Form) -> dict[str, Any]:
  """The reply to a form that does not stream.

  Raises:
    Failure: the clip cannot be asked about, or no task has an answer.
  """
  found: list[dict] = []
  opened: dict[str, Any] = {}
  first: failures.Failure | None = None
  async with contextlib.aclosing(events):
    async for event in events:
      if isinstance(event, events_lib.Opened):
        opened = _opened(event)
      elif isinstance(event, events_lib.Failed):
        first = first or event.failure
        found.append(_failed(event))
      elif isinstance(event, replies.Answer):
        found.append(_answer(event))
  if first is not None and all("error" in value for value in found):
    raise first
  order = {name: i for i, name in enumerate(opened["tasks"])}
  found.sort(key=lambda value: order[value["task"]])
  return {
    "id": form.name,
    "object": "crab.clip",
    "created": int(time.time()),
    "left_out": opened["left_out"],
    "frames": opened["frames"],
    "answers": found,
  }

"""What stands before the routes: bodies are counted, headers are set.

Bytes are counted as they arrive, whatever Content-Length says or does not say,
and a body that trickles is given up.
"""

import asyncio
import time
from typing import Any

from crab_jax import configs
from crab_jax.serving import failures

# The page's own files alone; media as blobs that it makes itself.
_SAFE = [
  (
    b"content-security-policy",
    b"default-src 'self'; media-src blob:; img-src 'self' blob: data:;"
    b" base-uri 'none'; form-action 'none'; frame-ancestors *",
  ),
  (b"x-content-type-options", b"nosniff"),
  (b"referrer-policy", b"no-referrer"),
]


class Bodies:
  """Refuses bodies that are too long or too slow.

  Args:
    app: what is behind.
    limits: bytes and seconds.
  """

  def __init__(self, app: Any, limits: configs.Serving):
    self._app, self._limits = app, limits

  async def __call__(self, scope, receive, send) -> None:
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    await self._app(scope, _Counted(scope, receive, self._limits), _safe(send))


class _Counted:
  """A `receive` that raises failures."""

  def __init__(self, scope, receive, limits: configs.Serving):
    self._receive, self._limits = receive, limits
    self._size, self._is_done = 0, False
    self._deadline = time.monotonic() + limits.body_seconds
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    self._declared = int(declared) if declared.isdigit() else 0

  async def __call__(self):
    if self._is_done:  # what comes now is the end of the connection
      return await self._receive()
    if self._declared > self._limits.body_bytes:
      raise self._too_large()
    try:
      async with asyncio.timeout(self._deadline - time.monotonic()):
        message = await self._receive()
    except TimeoutError:
      raise failures.Failure(
        408,
        "slow_body",
        f"the body took over {self._limits.body_seconds:g} s",
      ) from None
    if message["type"] == "http.request":
      self._size += len(message.get("body", b""))
      self._is_done = not message.get("more_body", False)
    if self._size > self._limits.body_bytes:
      raise self._too_large()
    return message

  def _too_large(self) -> failures.Failure:
    return failures.Failure(
      413,
      "request_too_large",
      f"the body has over {self._limits.body_bytes} bytes; upload the file by"
      " POST /v1/files, or send a shorter clip",
    )


def _safe(send):
  async def with_headers(message) -> None:
    if message["type"] == "http.response.start":
      message = {**message, "headers": [*message["headers"], *_SAFE]}
    await send(message)

  return with_headers

"""What goes wrong with a request, as OpenAI's clients read it.

{"error": {"message", "type", "param", "code"}}
"""

import math
from typing import NoReturn

_TYPES = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
  500: "server_error",
  503: "server_error",
  504: "server_error",
}
_UNREAD = (408, 413)
_RETRY_SECONDS = 2.0  # what a 503 asks for


class Failure(Exception):
  """A request that is answered with an error.

  Attributes:
    status: of HTTP.
    code: a short name, for programs.
    message: one sentence, for people.
    param: the field of the request, "messages[0].content[1]", or None.
    retry_seconds: after which a client may ask again; None: it need not.
  """

  def __init__(
    self,
    status: int,
    code: str,
    message: str,
    param: str | None = None,
    retry_seconds: float | None = None,
  ):
    super().__init__(message)
    self.status, self.code, self.message = status, code, message
    self.param, self.retry_seconds = param, retry_seconds

  def __reduce__(self):  # worker processes send it
    fields = self.status, self.code, self.message, self.param
    return Failure, (*fields, self.retry_seconds)

  def body(self) -> dict:
    """The JSON value of the reply."""
    return {
      "error": {
        "message": self.message,
        "type": _TYPES.get(self.status, "invalid_request_error"),
        "param": self.param,
        "code": self.code,
      }
    }

  def headers(self) -> dict[str, str]:
    """Headers of the reply."""
    if self.status == 401:
      return {"www-authenticate": "Bearer"}
    if self.status in _UNREAD:  # the rest of the body is not waited for
      return {"connection": "close"}
    if self.retry_seconds is None:
      return {}
    return {"retry-after": str(max(1, math.ceil(self.retry_seconds)))}


def invalid(code: str, message: str, param: str | None = None) -> NoReturn:
  """Raises the failure of a request that is wrong in itself."""
  raise Failure(400, code, message, param)


def draining() -> Failure:
  """The server is stopping."""
  return Failure(
    503, "draining", "the server is stopping", None, _RETRY_SECONDS
  )


def starting() -> Failure:
  """The server is not ready yet."""
  return Failure(
    503, "starting", "the server is starting", None, _RETRY_SECONDS
  )


def internal() -> Failure:
  """A defect of the server; its log has the traceback."""
  return Failure(500, "internal", "the server failed; its log says why")

"""Requests to an OpenAI-style endpoint: retried, paced, and told apart.

Time-outs, 429, 5xx and replies that are no JSON are asked again, after what
`Retry-After` says or a growing time with jitter. A refusal is a reply. Anything
else that the endpoint says is a mistake of the settings.
"""

import collections
import dataclasses
import email.utils
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from crab_jax import errors

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds
_OBEYED = 600.0  # seconds of Retry-After that are waited at most
_IN_A_ROW = 20  # failures that end the run
_MINUTE = 60.0
_REFUSALS = re.compile(
  r"^\W{0,3}(?:I['’]?m sorry|I am sorry|Sorry,|I can(?:not|['’]t) (?:assist|help|"
  r"comply|provide|do)|I['’]?m (?:not able|unable)|I am (?:not able|unable)|As an"
  r" AI)",
  re.IGNORECASE,
)
_MOST_SAID = 200  # characters of an error that are shown


@dataclasses.dataclass(frozen=True)
class Endpoint:
  """Where to ask, and how patiently.

  Attributes:
    url: ends with /v1 or its like; "/chat/completions" is added.
    model: its name there.
    key: the bearer token, or None.
    timeout: seconds for a request.
    attempts: how often one request is sent at most.
    per_minute: requests in a minute at most; 0: any number.
    tokens_per_minute: of input and output; 0: any number.
  """

  url: str
  model: str
  key: str | None = dataclasses.field(default=None, repr=False)
  timeout: float = 120.0
  attempts: int = 6
  per_minute: int = 0
  tokens_per_minute: int = 0


@dataclasses.dataclass(frozen=True)
class Reply:
  """What a model said.

  Attributes:
    text: "" if it refused.
    refused: whether it did not want to answer.
    tokens: (in, out) as the endpoint counts them; None: it does not tell.
  """

  text: str
  refused: bool = False
  tokens: tuple[int, int] | None = None


class Unanswered(Exception):
  """A request that failed to the last attempt; the message says how."""


class Rejected(Exception):
  """The endpoint does not take a request as it is (400); what it says."""


class _Passing(Exception):
  """A failure that may pass; `wait` is what the endpoint asks for."""

  def __init__(self, reason: str, wait: float | None = None):
    super().__init__(reason)
    self.wait = wait


class Client:
  """Asks one endpoint; may be used by several threads."""

  def __init__(
    self,
    endpoint: Endpoint,
    sleep: Callable[[float], object] = time.sleep,
  ):
    self._endpoint = endpoint
    self._sleep = sleep
    headers = {}
    if endpoint.key:
      headers["Authorization"] = f"Bearer {endpoint.key}"
    self._http = httpx.Client(headers=headers, timeout=endpoint.timeout)
    self._lock = threading.Lock()
    self._failures = 0  # in a row, over all threads
    self._sent: collections.deque[tuple[float, int]] = collections.deque()

  def close(self) -> None:
    """Ends the connections."""
    self._http.close()

  def ask(self, payload: dict[str, Any], tokens: int) -> Reply:
    """The reply to one request.

    Args:
      payload: of chat/completions, without the model.
      tokens: about how many it costs, for the pace.

    Raises:
      Unanswered: it failed to the last attempt.
      Rejected: the endpoint does not take it.
      UserError: the endpoint refuses us, or fails time after time.
    """
    wait = _FIRST_WAIT
    for attempt in range(1, self._endpoint.attempts + 1):
      self._keep_pace(tokens)
      try:
        reply = self._send(payload)
      except _Passing as failure:
        self._count(str(failure))
        if attempt == self._endpoint.attempts:
          raise Unanswered(str(failure)) from failure
        pause = failure.wait
        if pause is None:
          pause = wait * random.uniform(0.5, 1.0)
        self._sleep(min(pause, _OBEYED))
        wait = min(2 * wait, _LONGEST_WAIT)
      else:
        with self._lock:
          self._failures = 0
        return reply
    raise AssertionError("the last attempt returns or raises")

  def _count(self, reason: str) -> None:
    """Raises UserError when too many requests in a row have failed."""
    with self._lock:
      self._failures += 1
      failures = self._failures
    if failures >= _IN_A_ROW:
      raise errors.UserError(
        f"{self._endpoint.url}: {failures} requests in a row failed, the last:"
        f" {reason}. What was answered is kept; started again, the run goes on"
      )

  def _keep_pace(self, tokens: int) -> None:
    """Waits until the last minute has room for a request."""
    limits = self._endpoint.per_minute, self._endpoint.tokens_per_minute
    while any(limits):
      with self._lock:
        now = time.monotonic()
        while self._sent and self._sent[0][0] <= now - _MINUTE:
          self._sent.popleft()
        spent = sum(count for _, count in self._sent)
        full = (limits[0] and len(self._sent) >= limits[0]) or (
          limits[1] and self._sent and spent + tokens > limits[1]
        )
        if not full:
          self._sent.append((now, tokens))
          return
        pause = self._sent[0][0] + _MINUTE - now
      self._sleep(max(pause, 0.01))

  def _send(self, payload: dict[str, Any]) -> Reply:
    """One request. Raises _Passing, Rejected, UserError."""
    endpoint = self._endpoint
    try:
      response = self._http.post(
        f"{endpoint.url.rstrip('/')}/chat/completions",
        json={"model": endpoint.model, **payload},
      )
    except httpx.TimeoutException as error:
      raise _Passing(f"no reply in {endpoint.timeout:g} s") from error
    except httpx.TransportError as error:
      raise _Passing(f"{type(error).__name__}: {error}") from error
    except httpx.InvalidURL as error:
      raise errors.UserError(f"--teacher={endpoint.url}: {error}") from error
    code, said = response.status_code, response.text[:_MOST_SAID]
    if code == 429 or code == 408 or code >= 500:
      raise _Passing(f"{code}: {said}", _retry_after(response))
    if code in (400, 413, 415, 422):
      if "content_filter" in response.text or "safety" in said.lower():
        return Reply("", refused=True)
      raise Rejected(f"{code}: {said}")
    if code != 200:
      raise errors.UserError(f"{endpoint.url} answers {code}: {said}")
    return _reply(response)


def _retry_after(response: httpx.Response) -> float | None:
  """Seconds that the endpoint wants us to wait."""
  said = response.headers.get("retry-after", "")
  try:
    return max(float(said), 0.0)
  except ValueError:
    pass
  try:
    moment = email.utils.parsedate_to_datetime(said)
  except (TypeError, ValueError):
    return None
  return max(moment.timestamp() - time.time(), 0.0)


def _reply(response: httpx.Response) -> Reply:
  """The reply in a response. Raises _Passing where there is none."""
  try:
    return of_tree(response.json())
  except (
    ValueError, LookupError, TypeError, AttributeError, RecursionError
  ) as error:  # fmt: skip
    raise _Passing(f"the reply is no chat completion: {error!r}") from error


def of_tree(tree: Any) -> Reply:
  """The reply of a chat completion.

  Raises:
    LookupError, TypeError, AttributeError: it is none.
  """
  choice = tree["choices"][0]
  message = choice["message"]
  content = message.get("content")
  text = content if isinstance(content, str) else ""
  refused = bool(
    choice.get("finish_reason") == "content_filter"
    or message.get("refusal")
    or _REFUSALS.match(text.strip())
  )
  return Reply("" if refused else text, refused, _usage(tree))


def _usage(tree: dict[str, Any]) -> tuple[int, int] | None:
  usage = tree.get("usage")
  if not isinstance(usage, dict):
    return None
  read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
  if (
    isinstance(read, int) and isinstance(written, int) and read >= 0 <= written
  ):
    return read, written
  return None

"""One request to a teacher: from the cache, or paid for and kept."""

import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Protocol

from crab_jax.annotation.teaching import cache as cache_lib
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import prompts
from crab_jax.annotation.teaching import spending

MOST_OUT = 400  # tokens of a reply
# Builds the messages of a request and tells (frames, seconds of sound).
Build = Callable[[], tuple[list[dict[str, Any]], int, float]]


class Asker(Protocol):
  """Answers requests."""

  def ask(self, facts: dict[str, Any], build: Build) -> client_lib.Reply:
    """The reply to a request.

    Args:
      facts: everything that the reply depends on; "temperature" and "seed"
        are sent.
      build: makes the messages, if they are needed.
    """
    ...


class Live:
  """Asks an endpoint what the cache does not hold; used by several threads.

  Args:
    client: of the endpoint.
    cache: of replies.
    ledger: of what is spent.
    texts: of the prompts: where no schema is known, lines are asked for.
  """

  def __init__(
    self,
    client: client_lib.Client,
    cache: cache_lib.Cache,
    ledger: spending.Ledger,
    texts: Mapping[str, str],
  ):
    self._client = client
    self._cache = cache
    self._ledger = ledger
    self._as_json, self._as_lines = texts["reply"], texts["lines"]
    self._schema = True  # until the endpoint says that it knows none
    self._lock = threading.Lock()

  def ask(self, facts: dict[str, Any], build: Build) -> client_lib.Reply:
    """As of `Asker`.

    Raises:
      Exhausted: it could pass the budget.
      Unanswered, Rejected, UserError: as of `client.Client.ask`.
    """
    name = cache_lib.key(facts)
    kept = self._cache.get(name)
    if kept is not None:
      return kept
    messages, frames, seconds = build()
    expected = self._ledger.tariff.tokens_in(
      frames, seconds, characters(messages)
    )
    payload = body(facts, messages)
    return self._paid(name, payload, expected)

  def _paid(
    self, name: str, payload: dict[str, Any], expected: int
  ) -> client_lib.Reply:
    """Sends a request; again by lines where no schema is known."""
    if self._schema:
      try:
        return self._once(
          name, {**payload, "response_format": prompts.SCHEMA}, expected
        )
      except client_lib.Rejected as error:
        if "response_format" not in str(error) and "schema" not in str(error):
          raise
        with self._lock:
          self._schema = False
    return self._once(name, self._by_lines(payload), expected)

  def _by_lines(self, payload: dict[str, Any]) -> dict[str, Any]:
    """A request that asks for labelled lines in the place of JSON."""
    *before, last = payload["messages"]
    *parts, asked = last["content"]
    said = asked["text"].replace(self._as_json, self._as_lines)
    last = {**last, "content": [*parts, {**asked, "text": said}]}
    return {**payload, "messages": [*before, last]}

  def _once(
    self, name: str, payload: dict[str, Any], expected: int
  ) -> client_lib.Reply:
    mark = self._ledger.begin(expected, MOST_OUT)
    try:
      reply = self._client.ask(payload, expected)
    except client_lib.Rejected:
      self._ledger.end(mark, expected, None)
      raise
    except client_lib.Unanswered:
      # A request that timed out may have been answered, and charged.
      self._ledger.end(mark, expected, None, lost=True)
      raise
    # First the reply: a kill in between must not lose what is paid for.
    self._cache.put(name, reply)
    self._ledger.end(mark, expected, reply.tokens or (expected, MOST_OUT))
    return reply


def body(
  facts: dict[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any]:
  """The body of a request but for the model."""
  return {
    "messages": messages,
    "temperature": facts["temperature"],
    "seed": facts["seed"],
    "max_tokens": MOST_OUT,
  }


def characters(messages: list[dict[str, Any]]) -> int:
  """Letters of the text in messages."""
  return len(text(messages))


def text(messages: list[dict[str, Any]]) -> str:
  """All text in messages."""
  said = []
  for message in messages:
    content = message["content"]
    parts = [{"text": content}] if isinstance(content, str) else content
    said += [part.get("text", "") for part in parts]
  return "".join(said)

"""Requests as files of the OpenAI Batch API, and their replies.

A row's next request depends on its last reply, so a batch holds the next one of
each row: write, send, read, and so on until nothing is left to ask.
"""

import json
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.teaching import asking
from crab_jax.annotation.teaching import cache as cache_lib
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import prompts

_LINES = 50_000  # of a file
_BYTES = 90_000_000


class Needed(Exception):
  """A request that the cache does not hold; it is in the batch now."""


class Writer:
  """Collects what the cache does not hold into files."""

  def __init__(self, folder: files.Path, model: str, cache: cache_lib.Cache):
    files.remove(folder)
    files.make_folder(folder)
    self._folder = folder
    self._model = model
    self._cache = cache
    self._waiting: dict[str, bytes] = {}
    self._size = 0
    self.paths: list[files.Path] = []
    self.count = 0

  def ask(self, facts: dict[str, Any], build: asking.Build) -> client_lib.Reply:
    """As of `asking.Asker`.

    Raises:
      Needed: the cache does not hold it.
    """
    name = cache_lib.key(facts)
    kept = self._cache.get(name)
    if kept is not None:
      return kept
    if name not in self._waiting:
      messages, _, _ = build()
      body = {
        "model": self._model,
        **asking.body(facts, messages),
        "response_format": prompts.SCHEMA,
      }
      line = files.json_line(
        {
          "custom_id": name,
          "method": "POST",
          "url": "/v1/chat/completions",
          "body": body,
        }
      )
      if self._size + len(line) > _BYTES or len(self._waiting) >= _LINES:
        self.finish()
      self._waiting[name] = line
      self._size += len(line)
      self.count += 1
    raise Needed(name)

  def finish(self) -> None:
    """Writes what waits."""
    if not self._waiting:
      return
    path = self._folder / f"requests-{len(self.paths):05d}.jsonl"
    files.write_bytes(path, b"".join(self._waiting.values()))
    self.paths.append(path)
    self._waiting, self._size = {}, 0


def read(path: files.Path, cache: cache_lib.Cache) -> tuple[int, list[str]]:
  """Puts the replies of a file into the cache, in any order.

  Returns:
    How many replies are new, and what became of lines without one.

  Raises:
    UserError: there is no such file, or a line is none of a batch.
  """
  try:
    text = path.read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f"cannot read {path}: {error}") from error
  new, failed = 0, []
  for number, line in enumerate(text.split("\n"), 1):
    if not line.strip():
      continue
    try:
      tree = json.loads(line)
      name = str(tree["custom_id"])
    except (ValueError, LookupError, TypeError) as error:
      raise errors.UserError(
        f"{path} line {number} is none of a batch's output: {error!r}"
      ) from None
    reply = _reply(tree)
    if reply is None:
      failed.append(f"{name}: {json.dumps(tree.get('error'))}")
    elif cache.get(name) is None:
      cache.put(name, reply)
      new += 1
  return new, failed


def _reply(tree: dict[str, Any]) -> client_lib.Reply | None:
  """The reply of a line; None: the request failed."""
  response = tree.get("response")
  if not isinstance(response, dict) or response.get("status_code") != 200:
    return None
  try:
    return client_lib.of_tree(response["body"])
  except (ValueError, LookupError, TypeError, AttributeError):
    return None

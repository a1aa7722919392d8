"""Replies that were paid for, each in a file named by what was asked."""

import hashlib
import json
from typing import Any

from crab_jax import files
from crab_jax.annotation.teaching import client


def key(facts: dict[str, Any]) -> str:
  """What names a request.

  Args:
    facts: everything that its reply depends on.
  """
  text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
  return hashlib.sha256(text.encode()).hexdigest()


class Cache:
  """A folder of replies."""

  def __init__(self, folder: files.Path):
    self._folder = folder
    files.make_folder(folder)

  def get(self, name: str) -> client.Reply | None:
    """The reply of a request, or None; what is damaged is not there."""
    try:
      found = json.loads(self._path(name).read_text(encoding="utf-8"))
      tokens = found["tokens"]
      return client.Reply(
        found["text"], found["refused"], tuple(tokens) if tokens else None
      )
    except (OSError, ValueError, LookupError, TypeError):
      return None

  def put(self, name: str, reply: client.Reply) -> None:
    """Keeps a reply, whole or not at all."""
    path = self._path(name)
    files.make_folder(path.parent)
    files.write_json(
      path,
      {"text": reply.text, "refused": reply.refused, "tokens": reply.tokens},
    )

  def _path(self, name: str) -> files.Path:
    return self._folder / name[:2] / f"{name}.json"

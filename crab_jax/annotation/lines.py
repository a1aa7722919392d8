"""A log of JSON lines that survives a kill: what is whole in it counts."""

import json
from typing import Any

from crab_jax import files


class Log:
  """A log that one process at a time writes, line by line.

  Attributes:
    lines: the values that were there when it was opened.
  """

  def __init__(self, path: files.Path):
    """Reads what is whole; a last line that a kill cut off is taken away."""
    self._path = path
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
      files.write_bytes(path, whole)
    self.lines = [json.loads(line) for line in whole.splitlines()]

  def add(self, value: Any) -> None:
    """Appends a value; a kill of the process does not lose it."""
    files.append(self._path, files.json_line(value))

"""Published numbers to compare with: the data file `anchors.json`."""

import functools
import importlib.resources
import json


@functools.cache
def _table() -> dict:
  file = importlib.resources.files(__package__) / "anchors.json"
  return json.loads(file.read_text(encoding="utf-8"))


def columns() -> list[str]:
  """The models that have a column, in order."""
  return _table()["columns"]


def of(task: str, metric: str) -> dict[str, dict]:
  """Model -> {"model", "metric", "value", "source"} of one task and metric.

  Rows without a value are left out.
  """
  return {
    row["model"]: row
    for row in _table()["tasks"].get(task, [])
    if row["metric"] == metric and row["value"] is not None
  }

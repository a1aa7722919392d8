"""What a preparation says about itself: manifest, bad media, counts, budget.

Everything is read from the journals of the shards, so that a preparation that
was interrupted reports the same as one that was not.
"""

import collections
from collections.abc import Iterable
from typing import Any

from crab_jax import configs
from crab_jax import files
from crab_jax.data import journal
from crab_jax.data import statuses

MANIFEST = "manifest.jsonl"
BAD_MEDIA = "bad_media.jsonl"
BUDGET_FLAGS = "--max_bad_share, --max_bad_task_share"
_NAMED = 20  # ids printed a status


class Counts:
  """Counts of one preparation, by dataset and split.

  Attributes:
    splits: (task, split) -> {"rows", "records", "bytes", "shard_records",
      "statuses": {status: n}, "cut_seconds", "unheard_seconds",
      "unheard"}. A row may have several statuses; unheard counts the records
      of more sound than the audio encoder takes.
    rows: the manifest, in the order of the annotations.
  """

  def __init__(self, shards: Iterable[journal.Shard], out: files.Path):
    self.splits: dict[tuple[str, str], dict[str, Any]] = {}
    self.rows: list[dict] = []
    for shard in shards:
      _, lines = journal.read(shard.path(out))
      self._add(shard, lines)

  def _add(self, shard: journal.Shard, lines: list[dict]) -> None:
    empty = {
      "rows": 0,
      "records": 0,
      "bytes": 0,
      "cut_seconds": 0.0,
      "unheard_seconds": 0.0,
      "unheard": 0,
      "shard_records": [],
      "statuses": collections.Counter(),
    }
    counts = self.splits.setdefault((shard.task, shard.split), empty)
    usable = sum(line["status"] in statuses.USABLE for line in lines)
    counts["rows"] += len(lines)
    counts["records"] += usable
    counts["bytes"] += lines[-1]["end"] if lines else 0
    counts["cut_seconds"] += sum(line.get("cut_seconds", 0) for line in lines)
    unheard = [
      line["window_seconds"] - line["heard_seconds"]
      for line in lines
      if "heard_seconds" in line
    ]
    counts["unheard_seconds"] += sum(unheard)
    counts["unheard"] += len(unheard)
    counts["shard_records"].append(usable)
    counts["statuses"].update(s for line in lines for s in _statuses(line))
    self.rows += [
      {k: v for k, v in line.items() if k != "end"} for line in lines
    ]

  def bad_rows(self) -> list[dict]:
    """The rows of the manifest that became no record."""
    return [row for row in self.rows if row["status"] not in statuses.USABLE]

  def datasets(self) -> dict[str, dict[str, dict]]:
    """task -> split -> counts, as summary.json has them."""
    nested: dict[str, dict[str, dict]] = {}
    for (task, split), counts in self.splits.items():
      nested.setdefault(task, {})[split] = counts
    return nested


def _statuses(line: dict) -> list[str]:
  return [line["status"], *line.get("also", ())]


def audio_losses(counts: Counts) -> str:
  """How much sound no model hears, a line for each split; "" if none."""
  lines = []
  for (task, split), found in counts.splits.items():
    if found["cut_seconds"]:
      lines.append(
        f"{task} {split}: {found['cut_seconds']:.1f} s of sound cut by"
        " max_audio_seconds"
      )
    if found["unheard"]:
      limit = configs.HEARD_SAMPLES // configs.SAMPLE_RATE
      lines.append(
        f"{task} {split}: {found['unheard']} records have more than {limit} s of"
        f" sound; a model hears the first {limit} s,"
        f" {found['unheard_seconds']:.1f} s are not heard"
      )
  return "\n".join(lines)


def over_budget(
  counts: Counts, config: configs.Preparation, names: Iterable[str]
) -> list[str]:
  """Why too many records are bad: a sentence for each share exceeded."""
  sums = {}
  for name, splits in counts.datasets().items():
    if name in set(names):
      rows = sum(split["rows"] for split in splits.values())
      records = sum(split["records"] for split in splits.values())
      sums[name] = (rows - records, rows)
  bad, rows = map(sum, zip(*sums.values(), strict=True))
  sentences = []
  if bad > config.max_bad_share * rows:
    sentences.append(_excess(bad, rows, "", "max_bad_share", config))
  for name, (bad, rows) in sums.items():
    if bad > config.max_bad_task_share * rows:
      where = f" of {name}"
      sentences.append(_excess(bad, rows, where, "max_bad_task_share", config))
  return sentences


def _excess(bad: int, rows: int, where: str, field: str, config) -> str:
  limit = getattr(config, field)
  return f"{bad} of {rows} records{where} are bad, more than {field}={limit:g}"


def table(counts: Counts) -> str:
  """The counts as text: a line for each split, a column for each status."""
  seen = {status for c in counts.splits.values() for status in c["statuses"]}
  columns = [str(s) for s in statuses.Status if s in seen]
  lines = [["dataset", "split", "rows", "records", *columns, "MB"]]
  for (task, split), c in counts.splits.items():
    shown = [c["rows"], c["records"], *(c["statuses"][s] for s in columns)]
    lines.append([task, split, *map(str, shown), f"{c['bytes'] / 1e6:.1f}"])
  lines.append(_total(counts, columns))
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return "\n".join(_aligned(line, widths) for line in lines)


def _total(counts: Counts, columns: list[str]) -> list[str]:
  every = counts.splits.values()
  sums = [sum(c[key] for c in every) for key in ("rows", "records")]
  sums += [sum(c["statuses"][s] for c in every) for s in columns]
  size = sum(c["bytes"] for c in every) / 1e6
  return ["all", "", *map(str, sums), f"{size:.1f}"]


def _aligned(line: list[str], widths: list[int]) -> str:
  left = [
    cell.ljust(width) for cell, width in zip(line[:2], widths, strict=False)
  ]
  right = [
    cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)
  ]
  return "  ".join(left + right)


def named_rows(counts: Counts) -> str:
  """The first rows of every status but ok, with the reason; "" if none."""
  groups: dict[str, list[dict]] = {}
  for row in counts.rows:
    for status in _statuses(row):
      if status != statuses.Status.OK:
        groups.setdefault(status, []).append(row)
  lines = []
  for status, rows in groups.items():
    lines.append(f"{status}: {len(rows)}")
    lines += [f"  {row['id']}  {row['reason']}" for row in rows[:_NAMED]]
  return "\n".join(lines)

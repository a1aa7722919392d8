"""A shard in the making: what survives an interruption, and what is done.

Beside each TFRecord file the preparation keeps a journal, a line of JSON for
every annotation of the shard, under {out}/journal/{task}/. Both files grow
together as `.part` files; a preparation that was killed goes on behind the
last record that is whole in both. The first line holds a fingerprint of
everything the shard depends on: when the annotation, a media file or a setting
has changed, the shard is made anew.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable
from collections.abc import Iterator

from crab_jax import errors
from crab_jax import files
from crab_jax.data import record_index
from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.data import tfrecord

FOLDER = "journal"


@dataclasses.dataclass(frozen=True)
class Shard:
  """The rows of an annotation file that go into one TFRecord file."""

  task: str
  split: str
  number: int  # of `total`, from 0
  total: int
  first_row: int
  rows: list  # as JSON gives them

  def data_path(self, out: files.Path) -> files.Path:
    """The TFRecord file."""
    name = records.shard_name(self.split, self.number, self.total)
    return records.folder(out, self.task) / name

  def path(self, out: files.Path) -> files.Path:
    """The journal; it exists once the TFRecord file is complete."""
    name = f"{self.split}-{self.number:05d}-of-{self.total:05d}.jsonl"
    return out / FOLDER / self.task / name


def fingerprint(facts: dict) -> str:
  """A hash of everything that a shard depends on."""
  text = json.dumps(facts, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()


def read(path: files.Path) -> tuple[dict, list[dict]]:
  """The header and the lines of a journal; stops at a line cut short."""
  lines = list(_whole_lines(path))
  return (lines[0], lines[1:]) if lines else ({}, [])


def _whole_lines(path: files.Path) -> Iterator[dict]:
  with files.reading(path) as file:
    for line in file:
      try:
        yield json.loads(line)
      except ValueError:  # cut short, or what a crash of the machine left
        return


def is_complete(shard: Shard, out: files.Path, header: dict) -> bool:
  """Whether the shard was finished with this header, and is still there."""
  path, data = shard.path(out), shard.data_path(out)
  if not path.is_file() or not data.is_file():
    return False
  found, lines = read(path)
  end = lines[-1]["end"] if lines else 0
  return (
    found == header
    and len(lines) == len(shard.rows)
    and files.size(data) == end
  )


def find(out: files.Path, task: str) -> list[Shard]:
  """The finished shards of a dataset, without their rows, in order."""
  found = []
  for path in files.listing(out / FOLDER / task, "*-of-*.jsonl"):
    split, number, _, total = path.stem.split("-")
    found.append(Shard(task, split, int(number), int(total), 0, []))
  return sorted(
    found, key=lambda s: (tasks.ALL_SPLITS.index(s.split), s.number)
  )


def write(
  shard: Shard,
  out: files.Path,
  header: dict,
  rows: Iterable[tuple[dict, bytes | None]],
) -> None:
  """Writes a shard at once: what `Writer` would, not to be interrupted.

  Args:
    shard: which files.
    out: the folder of the preparation.
    header: the first line of the journal.
    rows: for each annotation its line and, unless left out, its record.
  """
  lines, items, end = [], [], 0
  for row, data in rows:
    if data is not None:
      items.append(data)
      end += len(tfrecord.frame(data))
    lines.append({**row, "end": end})
  # Before the data: an index of others in as many bytes would be believed.
  files.remove(record_index.path_of(shard.data_path(out)))
  tfrecord.write(shard.data_path(out), items)
  _write_index(shard, out, lines)
  files.make_folder(shard.path(out).parent)
  files.write_json_lines(shard.path(out), (header, *lines))
  for path in (shard.data_path(out), shard.path(out)):
    files.remove(files.part_of(path))  # of an interrupted `Writer`


class Writer:
  """Appends to a shard, from where an earlier writer was stopped.

  A context manager. `done` is the number of rows that need no more work.
  """

  def __init__(self, shard: Shard, out: files.Path, header: dict):
    path, data_path = shard.path(out), shard.data_path(out)
    for finished in (record_index.path_of(data_path), data_path, path):
      files.make_folder(finished.parent)
      files.remove(finished)  # of another fingerprint
    # In a bucket the part lies on the local disk, in another folder.
    part = files.part_of(path)
    files.make_folder(part.parent)
    lines, self._end = _recover(part, files.part_of(data_path), header)
    self._shard, self._out, self._lines = shard, out, lines
    self.done = len(lines)
    # Both files go on behind the last row that is whole in both.
    self._data = files.Growing(data_path, keep=self._end)
    files.write_json_lines(part, (header, *lines))
    self._journal = files.Growing(path)

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *_) -> None:
    self._data.close()
    self._journal.close()

  def add(self, row: dict, data: bytes | None) -> None:
    """Appends one row and, unless it was left out, its record's bytes."""
    if data is not None:
      frame = tfrecord.frame(data)
      self._data.write(frame)
      self._end += len(frame)
    self._lines.append({**row, "end": self._end})
    # Behind the record: a line without its record is dropped, see `_recover`.
    self._journal.write(files.json_line(self._lines[-1]))

  def finish(self) -> None:
    """Both files get their names, the journal last."""
    # Both are on the disk before one has its name: see `is_complete`.
    for file in (self._data, self._journal):
      file.sync()
    self._data.finish()
    _write_index(self._shard, self._out, self._lines)
    self._journal.finish()


def _write_index(shard: Shard, out: files.Path, lines: list[dict]) -> None:
  ends = [0, *(line["end"] for line in lines)]
  # A row that was left out ends where the one before it does.
  begins = [a for a, b in itertools.pairwise(ends) if a != b]
  record_index.write(shard.data_path(out), begins, ends[-1])


def next_row(shard: Shard, out: files.Path) -> int | None:
  """The row that an unfinished shard stopped at; None: never begun."""
  part = files.part_of(shard.path(out))
  return shard.first_row + len(read(part)[1]) if part.is_file() else None


def _recover(
  path: files.Path, data: files.Path, header: dict
) -> tuple[list[dict], int]:
  """Lines of an interrupted shard whose records are whole, and their end."""
  if not path.is_file() or not data.is_file():
    return [], 0
  found, lines = read(path)
  if found != header:
    return [], 0
  whole = _whole_bytes(data)
  kept = [line for line in lines if line["end"] <= whole]
  return kept, kept[-1]["end"] if kept else 0


def _whole_bytes(path: files.Path) -> int:
  """Bytes of a TFRecord file up to the first frame that is not whole."""
  end = 0
  try:
    for item in tfrecord.read(path):
      end += len(tfrecord.frame(item))
  except errors.UserError:  # what an interruption leaves: cut off behind here
    pass
  return end

"""The rows of one shard, one after another: annotation, record, journal."""

import dataclasses

from crab_jax import configs
from crab_jax import files
from crab_jax.data import assembly
from crab_jax.data import journal
from crab_jax.data import tasks
from crab_jax.data import worker_pool

# Raised when records come to hold something else for the same settings.
_FORMAT = 2
# Settings that a record depends on.
_CONTENT = ("frame_size", "frame_format", "jpeg_quality", "max_audio_seconds")


@dataclasses.dataclass(frozen=True)
class Preparer:
  """Makes the records of one preparation."""

  source: files.Path  # the folder of the datasets
  out: files.Path
  config: configs.Preparation
  table: tasks.Tasks
  check: assembly.ReferenceCheck | None = None  # reads the references

  def reader(self) -> assembly.Reader:
    """Reads the media of one share of the work."""
    return assembly.Reader(self.source, self.config, self.check)

  def settings(self) -> dict:
    """What all records of a folder must have in common."""
    fields = {name: getattr(self.config, name) for name in _CONTENT}
    return {"format": _FORMAT, **fields}

  def header(self, shard: journal.Shard) -> dict:
    """The first line of a shard's journal."""
    facts = {
      "settings": self.settings(),
      "task": self.table[shard.task].recipe(),
      "shard": dataclasses.asdict(shard),
      "media": self._stamps(shard),
    }
    return {
      "fingerprint": journal.fingerprint(facts),
      "settings": self.settings(),
    }

  def _stamps(self, shard: journal.Shard) -> list[list]:
    """Sizes and times of each row's files: a mended file is read again."""
    task = self.table[shard.task]
    media = [assembly.media_of(task, shard.split, row) for row in shard.rows]
    paths = [self.source / path for row in media for path in row]
    every = iter(files.stamps(paths))
    return [[next(every) for _ in row] for row in media]

  def write(
    self,
    shard: journal.Shard,
    tick: worker_pool.Tick,
    rows: int | None = None,
  ) -> None:
    """Makes what is missing of one shard.

    Args:
      shard: which.
      tick: is told of the rows that are done.
      rows: how many rows to make at most, if the shard is not finished by
        them; None: all.
    """
    header = self.header(shard)
    if journal.is_complete(shard, self.out, header):
      tick(len(shard.rows))
      return
    # A reader a shard: it keeps clips, and a file may be mended between two.
    reader = self.reader()
    with journal.Writer(shard, self.out, header) as writer:
      tick(writer.done)
      stop = len(shard.rows) if rows is None else writer.done + rows
      for row in range(writer.done, min(stop, len(shard.rows))):
        writer.add(*self.row(reader, shard, row))
        tick(1)
      if stop >= len(shard.rows):
        writer.finish()

  def row(
    self, reader: assembly.Reader, shard: journal.Shard, row: int
  ) -> tuple[dict, bytes | None]:
    """The journal's line of a row of a shard and, if it has one, its record."""
    return assembly.assemble(
      reader,
      self.table[shard.task],
      shard.split,
      shard.first_row + row,
      shard.rows[row],
    ).encoded()

  def give_up(self, shard: journal.Shard) -> None:
    """Counts the next row of a shard as one that no process survives."""
    with journal.Writer(shard, self.out, self.header(shard)) as writer:
      line = assembly.crashed(
        self.table[shard.task],
        shard.split,
        shard.first_row + writer.done,
        shard.rows[writer.done],
      )
      writer.add(line, None)

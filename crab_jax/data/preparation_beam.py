"""The preparation on Apache Beam: the same records, on many machines.

The same function makes each record, and the files are the same byte for byte
as those of the process pool; what a pipeline that failed had finished is not
made again. Needs the extra `beam`. Every worker must have crab_jax installed
and see the source and the output under the same paths (a mounted file system).

In one piece a shard passes through memory where it is written: choose
`shard_records` so that this fits (a record has about 0.3 MB at 224 pixels).
"""

import functools
from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
from apache_beam import metrics
from apache_beam.options import pipeline_options

from crab_jax import errors
from crab_jax import files
from crab_jax.data import annotations
from crab_jax.data import assembly
from crab_jax.data import journal
from crab_jax.data import preparation
from crab_jax.data import preparer as preparer_lib

_CHUNK = 32  # neighbours that one worker reads, as they often share clips
_LOCAL = "beam"  # the runner's name for Beam on this machine


class Key(NamedTuple):
  """Which shard a record belongs to."""

  task: str
  split: str
  number: int
  total: int
  fingerprint: str


class Chunk(NamedTuple):
  """Rows of an annotation file; the workers read the file themselves."""

  key: Key
  start: int
  stop: int


def runner(name: str, options: Iterable[str]) -> preparation.Runner:
  """A runner for `preparation.prepare`.

  Args:
    name: "beam" for this machine, or a runner of Beam by its class name.
    options: of the pipeline, such as "project=x".
  """
  flags = [f"--{option}" for option in options]
  if name != _LOCAL:
    flags.append(f"--runner={name}")
  return functools.partial(_run, flags)


def _run(
  flags: list[str],
  preparer: preparer_lib.Preparer,
  shards: list[journal.Shard],
) -> None:
  """Makes the shards that are missing.

  Raises:
    UserError: Beam knows no such runner or option.
  """
  chunks = [c for shard in shards for c in _chunks(preparer, shard)]
  try:
    pipeline = beam.Pipeline(options=pipeline_options.PipelineOptions(flags))
  except (ValueError, SystemExit) as error:
    raise errors.UserError(f"Apache Beam refuses {flags}: {error}") from error
  with pipeline:
    _ = (
      pipeline
      | "chunks" >> beam.Create(chunks)
      # Else a runner fuses the steps, and one worker does all chunks.
      | "spread" >> beam.Reshuffle()
      | "assemble" >> beam.FlatMap(_assemble, preparer)
      | "shards" >> beam.GroupByKey()
      | "write" >> beam.Map(_write, preparer)
    )


def _chunks(
  preparer: preparer_lib.Preparer, shard: journal.Shard
) -> Iterator[Chunk]:
  """The work of one shard; nothing if it is complete."""
  header = preparer.header(shard)
  if journal.is_complete(shard, preparer.out, header):
    return
  key = Key(
    shard.task, shard.split, shard.number, shard.total, header["fingerprint"]
  )
  if not shard.rows:  # no record would bring an empty shard to be written
    journal.write(shard, preparer.out, header, [])
  stop = shard.first_row + len(shard.rows)
  for start in range(shard.first_row, stop, _CHUNK):
    yield Chunk(key, start, min(start + _CHUNK, stop))


@functools.lru_cache(4)
def _rows(path: files.Path) -> list:
  return annotations.read(path)


def _assemble(
  chunk: Chunk, preparer: preparer_lib.Preparer
) -> Iterator[tuple[Key, tuple[int, dict, bytes | None]]]:
  """Shard -> (row, line of the journal, record) of each row of a chunk."""
  key = Key(*chunk.key)
  rows = _rows(preparer.source / key.task / f"{key.split}.json")
  reader = preparer.reader()
  for row in range(chunk.start, chunk.stop):
    line, encoded = assembly.assemble(
      reader, preparer.table[key.task], key.split, row, rows[row]
    ).encoded()
    metrics.Metrics.counter("prepare", str(line["status"])).inc()
    yield key, (row, line, encoded)


def _write(
  group: tuple[Key, Iterable[tuple[int, dict, bytes | None]]],
  preparer: preparer_lib.Preparer,
) -> None:
  """Writes a shard whose rows have come together, in any order."""
  key = Key(*group[0])
  # Beam keeps no order inside a group.
  rows = sorted(group[1], key=lambda row: row[0])
  shard = journal.Shard(
    key.task, key.split, key.number, key.total, rows[0][0], []
  )
  header = {"fingerprint": key.fingerprint, "settings": preparer.settings()}
  items = [(line, data) for _, line, data in rows]
  journal.write(shard, preparer.out, header, items)

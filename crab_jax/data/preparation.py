"""Annotations and media -> TFRecords, once, before any training.

Writes under {out}:

  av_uie_v2/{task}/1.0.0/   TFRecord shards, features.json, dataset_info.json
  journal/{task}/           a line an annotation for each shard; see journal.py
  manifest.jsonl            a line for every annotation: status, lengths
  bad_media.jsonl           those that became no record, with the reason
  summary.json              counts and settings; written last, so that its
                            presence means the preparation is complete

The result does not depend on the number of workers, nor on how often it was
interrupted. Nothing is replaced unnoticed: what fails is left out and counted,
and above the error budget the preparation fails after writing its report.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable
from collections.abc import Iterator

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import annotations
from crab_jax.data import assembly
from crab_jax.data import journal
from crab_jax.data import metadata
from crab_jax.data import preparation_report as report
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.data import worker_pool

# Raised when records come to hold something else for the same settings.
_FORMAT = 2
_LOOKS = 16  # shards whose files are looked at together
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
      "media": [self._stat(shard, row) for row in shard.rows],
    }
    return {
      "fingerprint": journal.fingerprint(facts),
      "settings": self.settings(),
    }

  def _stat(self, shard: journal.Shard, row) -> list:
    """Sizes and times of a row's files: a mended file is read again."""
    try:
      task = self.table[shard.task]
      found = annotations.parse(task, shard.split, 0, row)
    except statuses.RecordError:
      return []
    paths = [path for _, path in found.media] + [found.mask or ""]
    return [files.stamp(self.source / path) for path in paths]

  def write(self, shard: journal.Shard, tick: worker_pool.Tick) -> None:
    """Makes what is missing of one shard."""
    header = self.header(shard)
    if journal.is_complete(shard, self.out, header):
      tick(len(shard.rows))
      return
    reader = self.reader()
    with journal.Writer(shard, self.out, header) as writer:
      tick(writer.done)
      for row in range(writer.done, len(shard.rows)):
        outcome = assembly.assemble(
          reader,
          self.table[shard.task],
          shard.split,
          shard.first_row + row,
          shard.rows[row],
        )
        record = outcome.record
        encoded = None if record is None else records.encode(record)
        writer.add(outcome.row, encoded)
        tick(1)
      writer.finish()


# Makes all the shards; the pool of processes, or Apache Beam.
Runner = Callable[[Preparer, list[journal.Shard]], None]


def run_local(preparer: Preparer, shards: list[journal.Shard]) -> None:
  """Makes the shards on this machine, with a process a core.

  Raises:
    UserError: a worker was killed, or the disk is full.
  """
  wanted = preparer.config.workers or worker_pool.cores()
  try:
    worker_pool.run(
      preparer.write,
      shards,
      steps=sum(len(shard.rows) for shard in shards),
      workers=max(1, min(wanted, len(shards))),
      title="prepare",
    )
  except worker_pool.Died as error:
    stopped = [(s, journal.next_row(s, preparer.out)) for s in shards]
    ids = [f"{s.task}/{s.split}/{n}" for s, n in stopped if n is not None]
    raise errors.UserError(
      "a worker process died (out of memory, or a decoder crashed) at one of"
      f" {', '.join(ids)}; started again, the preparation goes on there"
    ) from error


def prepare(
  source: str | os.PathLike,
  out: str | os.PathLike,
  names: tuple[str, ...] | None = None,
  config: configs.Preparation | None = None,
  runner: Runner = run_local,
  show: Callable[[str], object] = print,
  table: tasks.Tasks | None = None,
  check: assembly.ReferenceCheck | None = None,
) -> dict:
  """Prepares datasets; what an earlier call finished is not made again.

  Args:
    source: the folder AVUIE_2, or the one that holds it.
    out: the folder to write; may hold other datasets already.
    names: the datasets; None: all that the source has.
    config: the settings.
    runner: who makes the shards.
    show: takes the table of counts, and the first rows of every status but ok.
    table: the tasks; None: the built-in ones.
    check: reads the references, so that those that no answer can be compared
      with are counted; None: they are not read.

  Returns:
    The content of summary.json.

  Raises:
    UserError: the source is no AV-UIE v2, too many records are bad, or
      another preparation is writing to `out`.
  """
  config = config or configs.Preparation()
  source = files.absolute(annotations.root(files.path(source)))
  out = files.absolute(files.path(out))
  table = table or tasks.Tasks()
  found = annotations.find(source, table, names)
  # What is not prepared now stays: its rows are those of the folder.
  kept = prepared_records.rows(out, without=found)
  table = table.joined(kept, "the task file", f"the records {out}")
  shards = plan(found, config.shard_records)
  preparer = Preparer(source, out, config, table, check)
  with _locked(out):
    try:
      if not _is_finished(preparer, shards):
        _begin(preparer, shards)
        runner(preparer, shards)
      return _finish(preparer, shards, show)
    except OSError as error:
      raise errors.UserError(
        f"{error}; started again, the preparation goes on where it was"
      ) from error


def plan(
  found: dict[str, dict[str, files.Path]], shard_records: int
) -> list[journal.Shard]:
  """Cuts annotation files into shards, in the order of the tasks."""
  shards = []
  for task, splits in found.items():
    for split, path in splits.items():
      rows = annotations.read(path)
      starts = range(0, len(rows), shard_records) or [0]
      shards += [
        journal.Shard(
          task=task,
          split=split,
          number=number,
          total=len(starts),
          first_row=start,
          rows=rows[start : start + shard_records],
        )
        for number, start in enumerate(starts)
      ]
  return shards


@contextlib.contextmanager
def _locked(out: files.Path) -> Iterator[None]:
  """Keeps a second preparation out of the folder."""
  with contextlib.ExitStack() as stack:
    try:
      files.make_folder(out)
      stack.enter_context(files.lock(out / ".lock"))
    except files.Locked as error:
      raise errors.UserError(
        f"another preparation is writing to {out}"
      ) from error
    except OSError as error:
      raise errors.UserError(f"cannot write to {out}: {error}") from error
    yield


def _is_finished(preparer: Preparer, shards: list[journal.Shard]) -> bool:
  """Whether an earlier call made just these shards, to its end.

  Nothing is taken away then: somebody may be reading the records.
  """
  out = preparer.out
  names = {shard.task for shard in shards}
  there = {s.path(out) for name in names for s in journal.find(out, name)}
  if (
    not (out / records.SUMMARY).is_file()
    or names - _complete(preparer)
    or there != {shard.path(out) for shard in shards}
  ):
    return False
  # Network disks answer many looks at media files at once.
  with concurrent.futures.ThreadPoolExecutor(_LOOKS) as pool:
    headers = pool.map(preparer.header, shards)
    return all(map(journal.is_complete, shards, itertools.repeat(out), headers))


def _begin(preparer: Preparer, shards: list[journal.Shard]) -> None:
  """Removes what would make the folder look complete, and stale shards."""
  out = preparer.out
  names = {shard.task for shard in shards}
  for name in _complete(preparer) - names:
    _require_settings(out, name, preparer.settings())
  files.remove(out / records.SUMMARY)
  for name in names:
    mine = [shard for shard in shards if shard.task == name]
    folder = records.folder(out, name)
    files.remove(folder / metadata.INFO)
    _remove(folder, "*.tfrecord-*", [s.data_path(out) for s in mine])
    _remove(out / journal.FOLDER / name, "*", [s.path(out) for s in mine])


def _complete(preparer: Preparer) -> set[str]:
  """The datasets that a folder holds, prepared to their end."""
  return {
    name
    for name in preparer.table
    if (records.folder(preparer.out, name) / metadata.INFO).is_file()
  }


def _require_settings(out: files.Path, name: str, settings: dict) -> None:
  """All datasets of a folder are made with the same settings."""
  for shard in journal.find(out, name):
    header, _ = journal.read(shard.path(out))
    for key, value in settings.items():
      if header["settings"].get(key) != value:
        raise errors.UserError(
          f"{out} holds {name} prepared with {key}="
          f"{header['settings'].get(key)}, not {value}: use another --out, or"
          " prepare all datasets again"
        )


def _remove(folder: files.Path, pattern: str, kept: list[files.Path]) -> None:
  """Removes the files of a folder but `kept`, finished or in the making."""
  keep = {*kept, *map(files.part_of, kept)}
  for path in files.listing(folder, pattern):
    if path not in keep:
      files.remove(path)


def _finish(
  preparer: Preparer,
  shards: list[journal.Shard],
  show: Callable[[str], object],
) -> dict:
  """Writes the report, then what makes the folder complete."""
  out, config = preparer.out, preparer.config
  names = {shard.task for shard in shards}
  present = _complete(preparer) | names
  every = [
    s for n in preparer.table if n in present for s in journal.find(out, n)
  ]
  counts = report.Counts(every, out)
  files.write_json_lines(out / report.MANIFEST, counts.rows)
  files.write_json_lines(out / report.BAD_MEDIA, counts.bad_rows())
  for text in (
    report.table(counts),
    report.audio_losses(counts),
    report.named_rows(counts),
  ):
    if text:
      show(text)
  excess = report.over_budget(counts, config, names)
  if excess:
    raise errors.UserError(
      f"{'; '.join(excess)}: see {out / report.BAD_MEDIA}, mend the files and"
      " start again"
    )
  datasets = counts.datasets()
  complete = _complete(preparer)
  for name in sorted(names):
    task = preparer.table[name]
    if name not in complete:
      metadata.write(out, task, datasets[name])
    else:  # of its row a column may have changed that no record depends on
      metadata.write_row(out, task)
  summary = {
    "source": str(preparer.source),
    "preparation": preparer.settings(),
    "rows": len(counts.rows),
    "records": sum(c["records"] for c in counts.splits.values()),
    "tasks": datasets,
  }
  files.write_json(out / records.SUMMARY, summary, sync=True)
  return summary

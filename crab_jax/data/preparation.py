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
from crab_jax.data import preparation_local
from crab_jax.data import preparation_report as report
from crab_jax.data import prepared_records
from crab_jax.data import preparer as preparer_lib
from crab_jax.data import record_index
from crab_jax.data import records
from crab_jax.data import tasks

_LOOKS = 16  # shards whose files are looked at together


# Makes all the shards; the pool of processes, or Apache Beam.
Runner = Callable[[preparer_lib.Preparer, list[journal.Shard]], None]


def prepare(
  source: str | os.PathLike,
  out: str | os.PathLike,
  names: tuple[str, ...] | None = None,
  config: configs.Preparation | None = None,
  runner: Runner = preparation_local.run,
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
  preparer = preparer_lib.Preparer(source, out, config, table, check)
  with _locked(out):
    try:
      if not _is_finished(preparer, shards):
        _begin(preparer, shards)
        runner(preparer, shards)
      return _finish(preparer, shards, show)
    except OSError as error:  # a full disk does not say where it is
      raise errors.UserError(
        f"cannot write to {out}: {error}; started again, the preparation goes"
        " on where it was"
      ) from error


def plan(
  found: dict[str, dict[str, files.Path]], shard_records: int
) -> list[journal.Shard]:
  """Cuts annotation files into shards, in the order of the tasks."""
  shards = []
  for task, splits in found.items():
    for split, path in splits.items():
      rows = annotations.read(path)
      # An empty file has one empty shard: the split is there, without records.
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


def _is_finished(
  preparer: preparer_lib.Preparer, shards: list[journal.Shard]
) -> bool:
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


def _begin(
  preparer: preparer_lib.Preparer, shards: list[journal.Shard]
) -> None:
  """Removes what would make the folder look complete, and stale shards."""
  out = preparer.out
  names = {shard.task for shard in shards}
  for name in _complete(preparer) - names:
    _require_settings(out, name, preparer.settings())
  files.remove(out / records.SUMMARY)
  for name in names:
    mine = [shard for shard in shards if shard.task == name]
    folder = records.folder(out, name)
    # Readers go by it: without it the dataset is not there while it is made
    # anew.
    files.remove(folder / metadata.INFO)
    _remove(folder, "*.tfrecord-*", [s.data_path(out) for s in mine])
    _remove(out / journal.FOLDER / name, "*", [s.path(out) for s in mine])


def _complete(preparer: preparer_lib.Preparer) -> set[str]:
  """The datasets that a folder holds, prepared to their end."""
  return {
    name
    for name in preparer.table
    if files.is_file(records.folder(preparer.out, name) / metadata.INFO)
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
  keep = {
    *kept,
    *map(files.part_of, kept),
    *map(record_index.path_of, kept),
  }
  for path in files.listing(folder, pattern):
    if path not in keep:
      files.remove(path)


def _finish(
  preparer: preparer_lib.Preparer,
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
  # Before the budget is checked: whoever is above it needs these files.
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
      f"{'; '.join(excess)}: see {out / report.BAD_MEDIA} and mend the files,"
      f" or allow more of them ({report.BUDGET_FLAGS}), and start again"
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
  # Last, and on the disk: its presence says that all else is.
  files.write_json(out / records.SUMMARY, summary, sync=True)
  return summary

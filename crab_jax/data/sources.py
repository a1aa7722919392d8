"""Random access to the records of a split.

A TFRecord file is read at an offset; the offsets come from the index beside it
(`record_index`) when the source is made. Random access is what makes the
pipeline simple: a shuffle over a whole dataset holds nothing in memory, and a
position in the stream is one number.
"""

import concurrent.futures
import itertools
import os
import struct
from collections.abc import Mapping

import numpy as np

from crab_jax import errors
from crab_jax import files
from crab_jax.array_types import Int
from crab_jax.data import prepared_records
from crab_jax.data import record_index
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tfrecord

_HEADER = struct.Struct("<QI")  # length of the record, its masked crc32c
_CRC = struct.Struct("<I")
_INDEX_THREADS = 16  # network disks answer many small reads at once


class RecordSource:
  """The records of one split, by index, in the order of the annotation.

  Holds offsets only, opens a file for each read: it can be pickled, and read
  from many threads and processes.
  """

  def __init__(self, root: os.PathLike | str, task: str, split: str):
    """Finds the shards and reads their headers.

    Raises:
      UserError: there is no such split, or a file is cut short.
    """
    self.task = task
    self.split = split
    sizes = files.sizes(records.folder(root, task), f"{records.NAME}-{split}.*")
    self._paths = records.shards_among(sizes, split)
    if not self._paths:
      raise errors.UserError(
        f"{root} has no {split} records of {task}: prepare them, or leave"
        f" {task} out of the mixture"
      )
    with concurrent.futures.ThreadPoolExecutor(_INDEX_THREADS) as pool:
      found = pool.map(_bounds, self._paths, itertools.repeat(sizes))
      self._bounds = list(found)
    # The last of the bounds of a shard is its end.
    self._ends = np.cumsum([len(shard) - 1 for shard in self._bounds])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __getitem__(self, index: int) -> records.Record:
    """The record at an index.

    Raises:
      SampleError: "bad_record": its bytes are damaged.
      IndexError: there is no such record.
    """
    if not 0 <= index < len(self):
      raise IndexError(f"record {index} of {len(self)}")
    # An index that is a shard's end is the first of the next: hence "right".
    shard = int(np.searchsorted(self._ends, index, side="right"))
    inside = index - int(self._ends[shard]) + len(self._bounds[shard]) - 1
    path = self._paths[shard]
    offset, end = map(int, self._bounds[shard][inside : inside + 2])
    try:
      return records.decode(_read(path, offset, end))
    except (ValueError, errors.UserError) as error:
      raise samples.SampleError(
        "bad_record", f"{path} at byte {offset}: {error}"
      ) from error


def open_mixture(
  prepared: prepared_records.Prepared,
  split: str,
  mixture: Mapping[str, float] | None = None,
) -> dict[str, RecordSource]:
  """The records of a mixture, dataset by dataset in canonical order.

  Args:
    prepared: the records.
    split: "train", "val" or "test".
    mixture: dataset -> weight, 0 leaves it out; None: every dataset that has
      the split.

  Raises:
    UserError: an unknown dataset, a weight below 0, no records, or fewer than
      the preparation wrote.
  """
  written = prepared.splits()
  if mixture is None:
    mixture = {name: 1.0 for name in written if written[name].get(split)}
  prepared.table.require(mixture, "the mixture")
  for name, weight in mixture.items():
    if weight < 0:
      raise errors.UserError(f"the mixture gives {name} a weight below 0")
  found = {}
  # In the table's order, not the mixture's: how a mixture is written must not
  # change the stream.
  for task in prepared.table:
    if mixture.get(task, 0):
      source = RecordSource(prepared.root, task, split)
      wanted = written.get(task, {}).get(split, 0)
      if len(source) != wanted:
        raise errors.UserError(
          f"{records.folder(prepared.root, task)} holds {len(source)} records of"
          f" {split}, its dataset_info.json says {wanted}: prepare again"
        )
      found[task] = source
  if not found:
    raise errors.UserError(f"{prepared} has no {split} records of the mixture")
  return found


def _bounds(
  path: files.Path, sizes: Mapping[files.Path, int]
) -> Int[np.ndarray, "n"]:
  """Where each record of a file begins, then its size."""
  if record_index.path_of(path) in sizes:
    return record_index.read(path, sizes[path])
  return np.append(offsets(path), sizes[path])


def offsets(path: files.Path) -> Int[np.ndarray, "n"]:
  """int64[n]: where each record of a TFRecord file begins, by its headers.

  Raises:
    UserError: the lengths do not lead to the end of the file.
  """
  found, offset = [], 0
  size = files.size(path)
  with files.Ranges(path) as file:
    while offset < size:
      header = file.read(offset, _HEADER.size)
      if not _header_is_good(header):
        raise errors.UserError(
          f"{path}: damaged at byte {offset}: delete it and prepare again"
        )
      found.append(offset)
      offset += _HEADER.size + _HEADER.unpack(header)[0] + _CRC.size
  if offset > size:
    raise errors.UserError(
      f"{path}: cut short at byte {size}: delete it and prepare again"
    )
  return np.array(found, np.int64)


def _header_is_good(header: bytes) -> bool:
  if len(header) < _HEADER.size:
    return False
  # A flipped bit in the length would lead to any other byte of the file.
  return tfrecord.masked_crc(header[:8]) == _HEADER.unpack(header)[1]


def _read(path: files.Path, start: int, end: int) -> bytes:
  """The bytes of the record between two offsets, by one read.

  Raises:
    ValueError: a checksum differs, or the record ends elsewhere.
  """
  with files.Ranges(path) as file:
    frame = file.read(start, end - start)
  header, body = frame[: _HEADER.size], frame[_HEADER.size :]
  if not _header_is_good(header):
    raise ValueError("damaged header")
  length = _HEADER.unpack(header)[0]
  data, crc = body[:length], body[length:]
  if _CRC.pack(tfrecord.masked_crc(data)) != crc:
    raise ValueError("wrong checksum")
  return data

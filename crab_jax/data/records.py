"""The prepared sample: a `Record`, its bytes and the folder it lies in.

A record is one annotation with its media, ready to train on: frames sampled,
resized and encoded, audio windowed, merged and encoded. On disk it is a
tf.train.Example in the folder layout of tensorflow_datasets, one config for
each dataset, so that `tfds.builder_from_directory` reads it too:

  {root}/av_uie_v2/{task}/1.0.0/av_uie_v2-{split}.tfrecord-00000-of-00002
  {root}/av_uie_v2/{task}/1.0.0/features.json, dataset_info.json
  {root}/summary.json        written last: the preparation is complete

Neither writing nor reading needs TensorFlow. This module decodes no media.
"""

import dataclasses
import fnmatch
import functools
import json
import os
import threading
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from crab_jax import errors
from crab_jax import files
from crab_jax.data import tfrecord

NAME = "av_uie_v2"
VERSION = "1.0.0"
SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class Record:
  """One prepared sample.

  Attributes:
    id: "{task}/{split}/{row}".
    task: a name of the table of tasks.
    split: "train", "val" or "test".
    row: index in the annotation file, from 0.
    status: "ok", or "short_video" when the last frame had to be repeated.
    frames: encoded JPEG or PNG images, square, in feeding order (a2v: those
      of both videos; image tasks: exactly one).
    frame_seconds: time of each frame in its own source clip, in seconds.
    audio: FLAC, mono, 16 kHz, int16; windowed and merged.
    question: what the question is made of: "question", "options" (as the
      annotation has them), "description" (lower-cased); {} for most tasks.
    target: the supervision text; "" on test.
    reference: "text" is the reference answer (train, val: the target; test:
      as specified); beside it the raw fields it was made of.
    mask: PNG, 224x224, greyscale 0 or 255, of the sounding object; b"" where
      there is none.
    meta: the remaining keys of the annotation, "media" (paths relative to
      the source folder) and "window_index" where the task has one.
  """

  id: str
  task: str
  split: str
  row: int
  status: str
  frames: list[bytes]
  frame_seconds: list[float]
  audio: bytes
  question: dict
  target: str
  reference: dict
  mask: bytes
  meta: dict


_JSON_FIELDS = ("question", "reference", "meta")


# While tensorflow_datasets is imported, etils makes the imports of every thread
# lazy. Two threads that import it then wait for each other's locks for ever.
_one_thread = threading.Lock()


def features() -> Any:
  """The layout of a record for tensorflow_datasets, all fields required."""
  with _one_thread:
    return _features()


@functools.cache
def _features() -> Any:
  # Not above: what asks about one clip needs records, but none in this form.
  import tensorflow_datasets as tfds

  text = tfds.features.Text()
  data = tfds.features.Tensor(shape=(), dtype=np.object_)
  return tfds.features.FeaturesDict(
    {
      "id": text,
      "task": text,
      "split": text,
      "row": tfds.features.Scalar(np.int64),
      "status": text,
      "frames": tfds.features.Sequence(data),
      "frame_seconds": tfds.features.Sequence(tfds.features.Scalar(np.float32)),
      "audio": data,
      "question": text,
      "target": text,
      "reference": text,
      "mask": data,
      "meta": text,
    }
  )


@functools.cache
def _serializer() -> Any:
  layout = features().get_serialized_info()  # first: it guards the import
  from tensorflow_datasets.core import example_serializer

  return example_serializer.ExampleSerializer(layout)


def encode(record: Record) -> bytes:
  """A record as a serialized tf.train.Example."""
  example = dict(vars(record))
  for name in _JSON_FIELDS:
    example[name] = files.json_text(example[name])
  example["frame_seconds"] = np.asarray(record.frame_seconds, np.float32)
  message = _serializer().get_tf_example(features().encode_example(example))
  # Fields in a fixed order: the same record gives the same bytes everywhere.
  return message.SerializeToString(deterministic=True)


def decode(data: bytes) -> Record:
  """The record of a serialized tf.train.Example.

  Raises:
    UserError: the bytes are no record.
  """
  try:
    example = features().deserialize_example_np(data)
    for name in ("id", "task", "split", "status", "target"):
      example[name] = example[name].decode()
    for name in _JSON_FIELDS:
      example[name] = json.loads(example[name])
    return Record(
      **{
        **example,
        "row": int(example["row"]),
        "frames": list(example["frames"]),
        "frame_seconds": [float(s) for s in example["frame_seconds"]],
      }
    )
  except Exception as error:  # protobuf, unicode, JSON and tfds errors
    raise errors.UserError(
      f"these {len(data)} bytes are no record of crab_jax: {error}"
    ) from error


def read_shard(path: str | os.PathLike) -> Iterator[Record]:
  """The records of one TFRecord file.

  Raises:
    UserError: a flipped or missing byte; names the file and the offset.
  """
  return map(decode, tfrecord.read(path))


def folder(root: str | os.PathLike, task: str) -> files.Path:
  """Where the shards and the metadata of one dataset lie."""
  return files.path(root) / NAME / task / VERSION


def shard_name(split: str, shard: int, shards: int) -> str:
  """The file name of a shard, as tensorflow_datasets expects it."""
  return f"{NAME}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def shards(root: str | os.PathLike, task: str, split: str) -> list[files.Path]:
  """The TFRecord files of a split, in order; [] if there is none."""
  # Five characters to the end: the index beside a shard does not fit.
  pattern = f"{NAME}-{split}.tfrecord-?????-of-?????"
  return files.listing(folder(root, task), pattern)


def shards_among(paths: Iterable[files.Path], split: str) -> list[files.Path]:
  """The TFRecord files of a split among the files of its folder, in order."""
  pattern = f"{NAME}-{split}.tfrecord-?????-of-?????"
  return [path for path in paths if fnmatch.fnmatch(path.name, pattern)]


def read_split(
  root: str | os.PathLike, task: str, split: str
) -> Iterator[Record]:
  """All records of a split, in the order of the annotation."""
  for path in shards(root, task, split):
    yield from read_shard(path)


def manifest(root: str | os.PathLike, task: str | None = None) -> str:
  """What tells two preparations apart: lines `path = bytes` of all shards.

  Args:
    root: of the prepared datasets.
    task: only the shards of this one.
  """
  root = files.path(root)
  below = root / NAME if task is None else folder(root, task)
  return "\n".join(
    f"{path.relative_to(root)} = {size} bytes"
    for path, size in files.sizes(below, "*.tfrecord-*-of-?????").items()
  )

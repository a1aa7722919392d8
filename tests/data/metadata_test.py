import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from crab_jax.data import metadata
from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.data import tfrecord
from tests.data import small_records


def _record(row):
  return records.Record(
    id=f"ave/train/{row}",
    task="ave",
    split="train",
    row=row,
    status="ok",
    frames=[b"one\0", b"\0two"],
    frame_seconds=[0.0, 1.5],
    audio=b"fLaC",
    question={},
    target="<answer>yes</answer>",
    reference={"text": "¿sí?", "event": ["a", 1]},
    mask=b"",
    meta={},
  )


@pytest.mark.parametrize(
  "load",
  [
    lambda root: tfds.builder_from_directory(records.folder(root, "ave")),
    lambda root: tfds.builder("av_uie_v2/ave", data_dir=root),
  ],
  ids=["builder_from_directory", "builder"],
)
def test_tensorflow_datasets_reads_the_folder(tmp_path, load):
  for shard in range(2):
    name = records.shard_name("train", shard, 2)
    rows = [_record(2 * shard + i) for i in range(2)]
    small_records.write_shard(records.folder(tmp_path, "ave") / name, rows)
  counts = {"shard_records": [2, 2], "bytes": 1000}
  metadata.write(tmp_path, tasks.Tasks()["ave"], {"train": counts})
  info = load(tmp_path).info
  assert info.full_name == "av_uie_v2/ave/1.0.0"
  assert list(info.splits) == ["train"]
  assert info.splits["train"].num_examples == 4
  files = [str(path) for path in info.splits["train"].filepaths]
  assert files == [str(p) for p in records.shards(tmp_path, "ave", "train")]
  expected = _record(0)
  data, *_ = tfrecord.read(files[0])
  example = info.features.deserialize_example_np(data)
  assert set(example) == {f.name for f in dataclasses.fields(expected)}
  assert example["id"].decode() == expected.id
  assert list(example["frames"]) == expected.frames
  np.testing.assert_array_equal(
    example["frame_seconds"], expected.frame_seconds
  )
  assert json.loads(example["reference"]) == expected.reference

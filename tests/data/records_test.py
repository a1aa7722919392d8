import dataclasses
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies

from crab_jax import errors
from crab_jax.data import metadata
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import tasks
from tests.data import clips
from tests.data import small_records

_JSON = strategies.dictionaries(
  strategies.text(),
  strategies.recursive(
    strategies.none() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3),
    max_leaves=4,
  ),
  max_size=3,
)
_FIELDS = strategies.integers(0, 3).flatmap(
  lambda frames: strategies.fixed_dictionaries(
    {
      **{n: strategies.text() for n in ("id", "task", "split", "status")},
      "row": strategies.integers(0, 2**62),
      "frames": strategies.lists(
        strategies.binary(), min_size=frames, max_size=frames
      ),
      "frame_seconds": strategies.lists(
        strategies.floats(0, 1e4, width=32), min_size=frames, max_size=frames
      ),
      "audio": strategies.binary(),
      "question": _JSON,
      "target": strategies.text(),
      "reference": _JSON,
      "mask": strategies.binary(),
      "meta": _JSON,
    }
  )
)


def _record(row=0, split="train"):
  return records.Record(
    id=f"ave/{split}/{row}",
    task="ave",
    split=split,
    row=row,
    status="ok",
    frames=[b"one\0", b"\0two"],
    frame_seconds=[0.0, 1.5],
    audio=b"fLaC",
    question={"question": "¿qué?"},
    target="<answer>yes</answer>",
    reference={"text": "yes", "event": ["a", 1]},
    mask=b"",
    meta={"media": ["ave/video/-1.mp4"]},
  )


def _write(root, split="train", shards=2):
  """Two records a shard, with metadata."""
  for shard in range(shards):
    name = records.shard_name(split, shard, shards)
    rows = [_record(2 * shard + i, split) for i in range(2)]
    small_records.write_shard(records.folder(root, "ave") / name, rows)
  counts = {"shard_records": [2] * shards, "bytes": 1}
  metadata.write(root, tasks.Tasks()["ave"], {split: counts})


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(_FIELDS)
def test_a_record_survives(fields):
  record = records.Record(**fields)
  assert records.decode(records.encode(record)) == record


def test_an_undefined_number_of_an_annotation_is_null():
  """Python reads NaN in a JSON file; others refuse it in a record."""
  record = dataclasses.replace(_record(), meta={"score": float("nan")})
  assert records.decode(records.encode(record)).meta == {"score": None}


def test_bytes_that_are_no_record_are_refused():
  for data in (b"no record", b"", records.encode(_record())[:-9]):
    with pytest.raises(errors.UserError, match="no record"):
      records.decode(data)


def test_a_shard_survives(tmp_path):
  path = tmp_path / "x.tfrecord"
  rows = [_record(0), _record(1)]
  small_records.write_shard(path, rows)
  assert list(records.read_shard(path)) == rows


def test_a_flipped_byte_names_the_file(tmp_path):
  path = tmp_path / "x.tfrecord"
  small_records.write_shard(path, [_record()])
  clips.flip(path, 40)
  with pytest.raises(errors.UserError, match="x.tfrecord"):
    list(records.read_shard(path))


def test_a_split_is_read_in_order(tmp_path):
  _write(tmp_path, shards=12)
  found = list(records.read_split(tmp_path, "ave", "train"))
  assert [record.row for record in found] == list(range(24))
  assert records.shards(tmp_path, "ave", "val") == []


def test_splits_need_a_finished_preparation(tmp_path):
  _write(tmp_path)
  with pytest.raises(errors.UserError, match="summary.json is missing"):
    prepared_records.read(tmp_path).splits()
  (tmp_path / records.SUMMARY).write_text("{}")
  assert prepared_records.read(tmp_path).splits() == {"ave": {"train": 4}}


# Where a second thread is while the first one imports tensorflow_datasets.
_SECOND_THREAD = """
import sys, threading, time, traceback
from crab_jax.data import records

def stack():
  frame = sys._current_frames().get(second.ident)
  return "".join(traceback.format_stack(frame)) if frame else ""

class Finder:
  def find_spec(self, name, path=None, target=None):
    if name == "tensorflow_datasets":
      second.start()
      while " in features" not in stack():
        time.sleep(0.01)
      time.sleep(0.2)
      print(stack())

second = threading.Thread(target=records.features)
sys.meta_path.insert(0, Finder())
records.features()
second.join()
"""


def test_two_threads_do_not_import_at_once():
  done = subprocess.run(
    [sys.executable, "-c", _SECOND_THREAD],
    capture_output=True, text=True, timeout=120, check=True,
  )  # fmt: skip
  assert "in features" in done.stdout
  assert "importlib" not in done.stdout, done.stdout

"""Commands on a bucket: the results of a disk, whatever fails on the way."""

import json

import pytest

from crab_jax import configs
from crab_jax import files
from crab_jax.data import preparation
from crab_jax.data import sources
from crab_jax.data import tasks
from crab_jax.evaluation import prediction_files
from crab_jax.training import metrics
from tests import bucket_server
from tests.data import clips


def _here(preparer, shards):
  for shard in shards:
    preparer.write(shard, lambda steps: None)


def _gs(name):
  return files.path(f"gs://{bucket_server.BUCKET}/{name}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  source = tmp_path_factory.mktemp("world") / "AVUIE_2"
  clips.write_emotion(source, "cremad", 6)
  return source


@pytest.fixture(scope="module")
def source(bucket, world):
  """The world in the bucket, one file of it missing and one damaged."""
  videos = sorted(world.rglob("*.mp4"))
  videos[0].unlink()
  videos[1].write_bytes(videos[1].read_bytes()[:40])
  for path in world.rglob("*"):
    if path.is_file():
      files.copy(path, _gs("AVUIE_2") / path.relative_to(world).as_posix())
  return _gs("AVUIE_2")


def _prepare(source, out):
  config = configs.Preparation(
    frame_size=28, shard_records=2, max_bad_share=1.0, max_bad_task_share=1.0
  )
  return preparation.prepare(
    source, out, names=("cremad",), config=config, runner=_here
  )


@pytest.fixture(scope="module")
def prepared(bucket, source, world, tmp_path_factory):
  """The records on the disk and in the bucket."""
  disk = tmp_path_factory.mktemp("records")
  _prepare(world, disk)
  _prepare(source, _gs("records"))
  return disk, _gs("records")


def content(root):
  """What a preparation wrote; fingerprints are of times, paths of the source."""
  found = {}
  for path in files.find(root, "*"):
    name = str(path).removeprefix(str(root))
    if "/journal/" not in name and path.name != ".lock":
      found[name] = path.read_bytes()
  return found


def test_records_are_those_of_a_disk(prepared, source, world):
  disk, remote = map(content, prepared)
  assert disk.keys() == remote.keys()
  for name, data in disk.items():
    theirs = remote[name].replace(str(source).encode(), str(world).encode())
    assert theirs == data, name
  assert b"missing_file" in disk["/bad_media.jsonl"]


@pytest.mark.slow  # it waits before it tries again
def test_records_are_the_same_where_one_request_in_ten_fails(
  prepared, source, bucket
):
  bucket.failing = 10
  try:
    _prepare(source, _gs("again"))
  finally:
    bucket.failing = 0
  assert bucket.failed[503] and bucket.failed[429]
  assert content(_gs("again")) == content(prepared[1])


def test_a_second_call_makes_nothing_anew(prepared, source, bucket):
  before = len(bucket.requests)
  _prepare(source, prepared[1])
  writes = [m for m, _ in bucket.requests[before:] if m != "GET"]
  # The lock, the report and its summary, and the row of the table.
  assert len(writes) <= 8


def test_a_start_reads_one_object_a_shard(prepared, bucket):
  before = len(bucket.requests)
  source = sources.RecordSource(prepared[1], "cremad", "train")
  made = bucket.requests[before:]
  shards = len(
    files.listing(prepared[1] / "av_uie_v2/cremad/1.0.0", "*-train.*.index")
  )
  assert shards == 3
  assert len(made) == 1 + shards, made  # one listing
  before = len(bucket.requests)
  assert source[0].id.startswith("cremad/train/")
  assert len(bucket.requests) == before + 1


def test_records_without_an_index_are_read_as_before(prepared, tmp_path):
  disk, _ = prepared
  expected = sources.RecordSource(disk, "cremad", "train")
  for path in files.find(disk, "*-train.*"):
    if not path.name.endswith(".index"):
      target = tmp_path / path.relative_to(disk)
      files.make_folder(target.parent)
      files.copy(path, target)
  found = sources.RecordSource(tmp_path, "cremad", "train")
  assert [r.id for r in map(found.__getitem__, range(len(found)))] == [
    r.id for r in map(expected.__getitem__, range(len(expected)))
  ]


def test_metrics_go_on_after_a_restart(bucket):
  folder = _gs("logs")
  for first in (1, 3):
    writer = metrics.Writer(folder, configs.Logging(tensorboard=False), False)
    writer.rewind("tuning", first - 1)
    for step in (first, first + 1):
      writer.write("tuning", step, {"loss": 1.0 / step})
    writer.close()
  assert [line["step"] for line in metrics.read(folder)] == [1, 2, 3, 4]


def test_answers_of_two_hosts_are_joined(bucket):
  folder, table = _gs("predictions"), tasks.Tasks()
  for host in (0, 1):
    journal = prediction_files.Journal(folder, host, 2)
    for row in range(host, 4, 2):
      journal.write({"id": f"ave/test/{row}", "task": "ave", "prediction": "x"})
  prediction_files.join(folder, table)
  lines = (folder / "ave.jsonl").read_text().splitlines()
  assert [json.loads(line)["id"] for line in lines] == [
    f"ave/test/{row}" for row in range(4)
  ]
  assert files.listing(folder) == [folder / "ave.jsonl"]

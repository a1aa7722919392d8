"""Commands whose folders are in a bucket: killed, refused at times, of two hosts."""

import os
import random
import subprocess
import sys
import time

import pytest

from crab_jax import files
from tests import bucket_runs_test
from tests import bucket_server
from tests import small_runs
from tests.data import clips

# One in the project's own check, as each takes a minute or two; KILLS=20 for more.
_KILLS = int(os.environ.get("KILLS", "1"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def straight(place):
  """A run on the disk that nothing disturbed."""
  workdir = place / "straight"
  small_runs.finish(_flags(workdir, place), place / "straight.log")
  return workdir


@pytest.fixture(scope="module")
def records(bucket, straight):
  """Its records in the bucket."""
  folder = _gs("records")
  for path in files.find(straight / "records", "*"):
    name = path.relative_to(straight / "records").as_posix()
    files.copy(path, files.path(folder) / name)
  return ("Experiment.world=None", f"Experiment.records='{folder}'")


def _gs(name):
  return f"gs://{bucket_server.BUCKET}/{name}"


def _flags(workdir, place, *settings):
  """All runs share their compiled programs."""
  compiled = f"Experiment.compiled='{place / 'compiled'}'"
  return small_runs.flags(workdir, compiled, *settings)


def _variables():
  """Of a process that starts from one without the bucket."""
  return {name: os.environ[name] for name in bucket_server.VARIABLES}


def test_kills_of_a_training_change_nothing(place, straight, records):
  """kill -9 at random moments of training and evaluating."""
  log, expected = place / "killed.log", small_runs.results(straight)
  variables = small_runs.environment(**_variables())

  def run(number):
    return _flags(_gs(f"run{number}"), place, *records), log, variables

  def check(number):
    assert small_runs.results(_gs(f"run{number}")) == expected

  whole = small_runs.finish(*run(-1))
  check(-1)
  small_runs.kill_and_finish(run, _KILLS, random.Random(0), whole, check)


def test_a_training_is_the_same_where_one_request_in_ten_fails(
  place, straight, records, bucket
):
  """It mostly waits before it tries again, so it saves but once a stage."""
  workdir, variables = _gs("failing"), small_runs.environment(**_variables())
  flags = _flags(workdir, place, *records, "Saving.every=12")
  bucket.failing = 10
  try:
    small_runs.finish(flags, place / "failing.log", variables)
  finally:
    bucket.failing = 0
  assert bucket.failed[503] and bucket.failed[429]
  assert small_runs.results(workdir) == small_runs.results(straight)


def _prepare(out, seconds=None):
  """Whether a preparation came to its end before it was killed."""
  command = [sys.executable, "-m", "crab_jax.prepare", "--tasks=cremad"]
  settings = ["--frame_size=28", "--shard_records=1", "--workers=1"]
  process = subprocess.Popen(
    [*command, f"--source={_gs('AVUIE_2')}", f"--out={out}", *settings],
    stdout=subprocess.DEVNULL,
  )
  try:
    assert process.wait(seconds) == 0
    return True
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()
    return False


def test_kills_of_a_preparation_change_nothing(bucket, tmp_path):
  clips.write_emotion(tmp_path, "cremad", 16)
  for path in files.find(tmp_path, "*"):
    name = path.relative_to(tmp_path).as_posix()
    files.copy(path, files.path(_gs("AVUIE_2")) / name)
  begin = time.monotonic()
  assert _prepare(_gs("prepared"))
  whole = time.monotonic() - begin
  expected = bucket_runs_test.content(files.path(_gs("prepared")))
  assert len(expected) > 16
  chance, out = random.Random(0), _gs("killed")
  kills = 0
  for _ in range(4 * _KILLS):
    if _prepare(out, chance.uniform(whole / 4, whole * 3 / 4)):
      out += "_again"  # it was faster than the first: another one
    else:
      kills += 1
    if kills == _KILLS:
      break
  assert kills == _KILLS
  assert _prepare(out)
  assert bucket_runs_test.content(files.path(out)) == expected


def test_two_hosts_share_a_bucket(records, tmp_path):
  """Both train, every clip is answered once, the first one reports."""
  workdir = _gs("of_two")
  both = small_runs.pair(workdir, tmp_path, (records, records), **_variables())
  for host, (code, text) in enumerate(both):
    assert code == 0, text[-2000:]
    assert (f"report: {workdir}/report.html" in text) == (host == 0)
  for task in small_runs.TASKS:
    path = files.path(workdir) / "predictions" / f"{task}.jsonl"
    assert len(path.read_text().splitlines()) == 1

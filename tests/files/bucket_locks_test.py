"""Locks in a bucket: of whom they are, and when they are free."""

import subprocess
import sys
import time

import pytest

from crab_jax import buckets
from crab_jax import errors
from crab_jax import files
from crab_jax.files import bucket_locks

_LOCK = """
import sys
from crab_jax import files
with files.lock(files.path(sys.argv[1])):
  print("ready", flush=True)
  input()
"""


def test_a_lock_of_a_killed_process_is_free(bucket_folder):
  path = bucket_folder / "lock"
  process = subprocess.Popen(
    [sys.executable, "-c", _LOCK, str(path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"ready\n"
  with pytest.raises(files.Locked), files.lock(path):
    pass
  process.kill()
  process.communicate()
  with files.lock(path):
    pass
  assert not path.exists()


def test_a_lock_of_another_machine_is_free_when_it_is_old(
  bucket_folder, monkeypatch
):
  holder = {"machine": "far", "pid": 1, "started": 1}
  files.write_json(bucket_folder / "lock", {"holder": holder})
  with pytest.raises(files.Locked), files.lock(bucket_folder / "lock"):
    pass
  monkeypatch.setattr(bucket_locks, "LEASE", 0.0)
  with files.lock(bucket_folder / "lock"):
    pass


def test_a_lock_is_renewed_and_its_loss_is_told(bucket_folder, monkeypatch):
  monkeypatch.setattr(bucket_locks, "LEASE", 0.2)
  path = bucket_folder / "lock"
  with files.lock(path):
    before = files.stamp(path)
    deadline = time.monotonic() + 20
    while files.stamp(path) == before:
      assert time.monotonic() < deadline
      time.sleep(0.02)
  with (
    pytest.raises(errors.UserError, match="took the lock over"),
    files.lock(path),
  ):
    files.write_json(path, {"holder": "another"})


def test_a_lock_that_is_given_back_meanwhile_is_free(
  bucket_folder, monkeypatch
):
  """Between the claim that fails and the look at who holds it."""
  path, claim = bucket_folder / "lock", buckets.claim
  files.write_json(path, {"holder": "another"})

  def gone(name, text):
    claimed = claim(name, text)
    if not claimed:
      buckets.remove(name)
    return claimed

  monkeypatch.setattr(buckets, "claim", gone)
  with files.lock(path):
    assert path.exists()
  assert not path.exists()

"""Finished runs stay, claims are exclusive, silent ones are lost."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from crab_jax import errors
from crab_jax.ablation import manifest as manifest_lib


@pytest.fixture
def manifest(tmp_path):
  return manifest_lib.Manifest(tmp_path, expiry=60)


def _age(tmp_path, name, seconds):
  path = tmp_path / "claims" / f"{name}@1.json"
  os.utime(path, (time.time() - seconds,) * 2)


def test_a_finished_run_is_kept(manifest, tmp_path):
  assert manifest.result("a") is None
  manifest.save("a", {"seconds": 2})
  assert manifest.result("a") == {"seconds": 2}
  assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a.json"]


def test_a_study_of_an_earlier_version_goes_on_in_its_folder(tmp_path):
  (tmp_path / "cells").mkdir()
  (tmp_path / "cells" / "a.json").write_text('{"seconds": 3}')
  found = manifest_lib.Manifest(tmp_path, expiry=60)
  assert found.result("a") == {"seconds": 3}
  found.save("b", {"seconds": 4})
  assert (tmp_path / "cells" / "b.json").is_file()
  assert not (tmp_path / "runs").exists()


def test_a_damaged_run_is_named(manifest, tmp_path):
  (tmp_path / "runs" / "a.json").write_text("{")
  with pytest.raises(errors.UserError, match=r"a\.json"):
    manifest.result("a")


def test_a_claim_is_exclusive_until_it_is_given_back(manifest):
  assert manifest.claim("a")
  assert not manifest.claim("a")
  manifest.release("a")
  assert manifest.claim("a")


def test_a_silent_claim_is_lost(manifest, tmp_path):
  manifest.claim("a")
  _age(tmp_path, "a", 59)
  assert manifest.running("a")
  assert not manifest.claim("a")
  _age(tmp_path, "a", 61)
  assert not manifest.running("a")
  assert manifest.claim("a")
  assert manifest.running("a")
  assert not manifest.claim("a")
  manifest.release("a")
  assert not list((tmp_path / "claims").iterdir())


def test_a_held_claim_stays_alive(tmp_path):
  manifest = manifest_lib.Manifest(tmp_path, expiry=0.5)
  manifest.claim("a")
  with manifest.holding("a"):
    time.sleep(1.2)
    assert manifest.running("a")
  assert not manifest.running("a")
  assert manifest.claim("a")


_CLAIM = """
import pathlib, sys
from crab_jax.ablation import manifest
assert manifest.Manifest(pathlib.Path(sys.argv[1]), expiry=600).claim("a")
print("claimed", flush=True)
input()
"""


def test_the_claim_of_a_killed_process_is_lost_at_once(manifest, tmp_path):
  process = subprocess.Popen(
    [sys.executable, "-c", _CLAIM, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"claimed\n"
  assert manifest.running("a")
  assert not manifest.claim("a")
  process.kill()
  process.wait()
  assert not manifest.running("a")
  assert manifest.claim("a")


def test_a_claim_that_is_being_written_is_not_lost(manifest, tmp_path):
  (tmp_path / "claims" / "a@1.json").write_text('{"mach')
  assert manifest.running("a")
  assert not manifest.claim("a")


def test_a_folder_that_cannot_be_written_is_named(manifest, tmp_path):
  (tmp_path / "runs").rmdir()
  with pytest.raises(errors.UserError, match=r"cannot write .*runs/a\.json"):
    manifest.save("a", {})


def _race(folder, start, wins):
  manifest = manifest_lib.Manifest(folder, expiry=60)
  start.wait()
  wins.put(manifest.claim("a"))


def test_one_of_many_machines_takes_a_lost_claim(manifest, tmp_path):
  manifest.claim("a")
  _age(tmp_path, "a", 100)
  context = multiprocessing.get_context("spawn")
  start, wins = context.Barrier(4), context.Queue()
  racers = [
    context.Process(target=_race, args=(tmp_path, start, wins))
    for _ in range(4)
  ]
  for racer in racers:
    racer.start()
  found = [wins.get(timeout=120) for _ in racers]
  for racer in racers:
    racer.join()
  assert sum(found) == 1

"""Finished cells stay, claims are exclusive, silent ones are lost."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from crab_jax import errors
from crab_jax.ablation import manifest as ledger_lib


@pytest.fixture
def ledger(tmp_path):
  return ledger_lib.Ledger(tmp_path, expiry=60)


def _age(tmp_path, name, seconds):
  path = tmp_path / "claims" / f"{name}@1.json"
  os.utime(path, (time.time() - seconds,) * 2)


def test_a_finished_cell_is_kept(ledger, tmp_path):
  assert ledger.result("a") is None
  ledger.keep("a", {"seconds": 2})
  assert ledger.result("a") == {"seconds": 2}
  assert [path.name for path in (tmp_path / "cells").iterdir()] == ["a.json"]


def test_a_damaged_cell_is_named(ledger, tmp_path):
  (tmp_path / "cells" / "a.json").write_text("{")
  with pytest.raises(errors.UserError, match=r"a\.json"):
    ledger.result("a")


def test_a_claim_is_exclusive_until_it_is_given_back(ledger):
  assert ledger.claim("a")
  assert not ledger.claim("a")
  ledger.release("a")
  assert ledger.claim("a")


def test_a_silent_claim_is_lost(ledger, tmp_path):
  ledger.claim("a")
  _age(tmp_path, "a", 59)
  assert ledger.running("a")
  assert not ledger.claim("a")
  _age(tmp_path, "a", 61)
  assert not ledger.running("a")
  assert ledger.claim("a")
  assert ledger.running("a")
  assert not ledger.claim("a")
  ledger.release("a")
  assert not list((tmp_path / "claims").iterdir())


def test_a_held_claim_stays_alive(tmp_path):
  ledger = ledger_lib.Ledger(tmp_path, expiry=0.5)
  ledger.claim("a")
  with ledger.holding("a"):
    time.sleep(1.2)
    assert ledger.running("a")
  assert not ledger.running("a")
  assert ledger.claim("a")


_CLAIM = """
import pathlib, sys
from crab_jax.ablation import manifest
assert manifest.Ledger(pathlib.Path(sys.argv[1]), expiry=600).claim("a")
print("claimed", flush=True)
input()
"""


def test_the_claim_of_a_killed_process_is_lost_at_once(ledger, tmp_path):
  process = subprocess.Popen(
    [sys.executable, "-c", _CLAIM, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"claimed\n"
  assert ledger.running("a")
  assert not ledger.claim("a")
  process.kill()
  process.wait()
  assert not ledger.running("a")
  assert ledger.claim("a")


def test_a_claim_that_is_being_written_is_not_lost(ledger, tmp_path):
  (tmp_path / "claims" / "a@1.json").write_text('{"mach')
  assert ledger.running("a")
  assert not ledger.claim("a")


def test_a_folder_that_cannot_be_written_is_named(ledger, tmp_path):
  (tmp_path / "cells").rmdir()
  with pytest.raises(errors.UserError, match=r"cannot write .*cells/a\.json"):
    ledger.keep("a", {})


def _race(folder, start, wins):
  ledger = ledger_lib.Ledger(folder, expiry=60)
  start.wait()
  wins.put(ledger.claim("a"))


def test_one_of_many_machines_takes_a_lost_claim(ledger, tmp_path):
  ledger.claim("a")
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


def test_progress_and_the_time_left(ledger):
  """10 s for 5 steps: 2 s a step, 20 + 30 steps are left."""
  ledger.keep("a", {"seconds": 10})
  ledger.claim("b")
  found = ledger.progress({"a": 5, "b": 20, "c": 30})
  assert (found.done, found.running, found.left) == (("a",), ("b",), ("c",))
  assert found.seconds == pytest.approx(100)


def test_a_cell_that_compiled_is_forgotten(ledger):
  """500, 2 and 2 s for one step each: the median is 2 s."""
  for name, seconds in (("a", 500), ("b", 2), ("c", 2)):
    ledger.keep(name, {"seconds": seconds})
  found = ledger.progress({"a": 1, "b": 1, "c": 1, "d": 10})
  assert found.seconds == pytest.approx(20)


def test_nothing_done_gives_no_estimate(ledger):
  assert ledger.progress({"a": 5}).seconds is None
  assert "unknown" in ledger_lib.in_words(None)


@pytest.mark.parametrize(
  ("seconds", "words"), [(59, "1 min"), (3660, "1 h 1 min"), (20, "0 min")]
)
def test_durations(seconds, words):
  assert ledger_lib.in_words(seconds) == words

"""Whether a process that claimed something is certainly gone."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from crab_jax import processes

_SHOW = """
import dataclasses, json
from crab_jax import processes
print(json.dumps(dataclasses.asdict(processes.me())), flush=True)
input()
"""


@pytest.fixture
def other():
  """A process that waits, and what it says of itself."""
  process = subprocess.Popen(
    [sys.executable, "-c", _SHOW],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  yield process, processes.Process(**json.loads(process.stdout.readline()))
  process.kill()
  process.wait()


def test_we_are_there():
  assert not processes.me().is_gone
  assert processes.me() == processes.me()


def test_a_process_is_gone_once_it_is_killed_even_if_nobody_collects_it(other):
  process, found = other
  assert found.machine == processes.me().machine
  assert not found.is_gone
  process.kill()
  os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves a zombie
  assert found.is_gone
  process.wait()
  assert found.is_gone


@pytest.mark.skipif(sys.platform != "linux", reason="starts are not known")
def test_its_number_may_belong_to_another_by_now():
  later = dataclasses.replace(
    processes.me(), started=processes.me().started - 1
  )
  assert later.is_gone


def test_of_another_machine_nothing_is_known():
  far = dataclasses.replace(processes.me(), machine="far", pid=2**22 + 1)
  assert not far.is_gone
  assert dataclasses.replace(far, machine=processes.me().machine).is_gone


def test_without_proc_ids_alone_are_compared(monkeypatch, tmp_path):
  monkeypatch.setattr(processes, "_PROC", tmp_path)
  found = processes.me()
  assert found.started is None
  assert not found.is_gone
  assert dataclasses.replace(found, pid=2**22 + 1).is_gone


def test_a_process_that_proc_hides_may_be_there(monkeypatch, tmp_path):
  found = processes.me()
  monkeypatch.setattr(processes, "_machine", lambda: found.machine)
  monkeypatch.setattr(processes, "_PROC", tmp_path)
  assert not found.is_gone

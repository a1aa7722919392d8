"""Processes that open media: one that dies costs a request and no more."""

import os
import signal
import time

import pytest

from crab_jax import configs
from crab_jax.serving import failures
from crab_jax.serving import worker as worker_lib
from tests.serving import odd

_LIMITS = configs.Serving(
  media_wall_seconds=2.0, media_processor_seconds=1, media_memory=256 << 20
)


@pytest.fixture(scope="module")
def worker():
  found = worker_lib.Worker(odd.Odd, (), _LIMITS)
  yield found
  found.stop()


def test_a_worker_answers_and_hands_on_failures(worker):
  process = worker.ask("")
  assert process == worker.process_id
  for request, code in (
    ("fail", "bad_media"),
    ("raise", "internal"),
    ("fill", "bad_media"),
  ):
    with pytest.raises(failures.Failure) as found:
      worker.ask(request)
    assert found.value.code == code
  assert worker.ask("") == process


@pytest.mark.parametrize("request_", ["die", "sleep", "spin"])
def test_a_worker_that_dies_is_replaced(worker, request_):
  process = worker.ask("")
  begun = time.monotonic()
  with pytest.raises(worker_lib.Died):
    worker.ask(request_)
  assert time.monotonic() - begun < 10
  assert worker.ask("") != process


def test_a_worker_that_is_killed_while_idle_costs_nothing(worker):
  process = worker.ask("")
  os.kill(process, signal.SIGKILL)
  worker._process.join()
  assert worker.ask("") != process

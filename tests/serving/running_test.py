"""The life of a server, in this process, with an engine that is a double."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import httpx
import jax
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.serving import keys
from crab_jax.serving import listening
from crab_jax.serving import running
from crab_jax.serving import service as services
from crab_jax.serving import uploads
from tests.serving import app_test
from tests.serving import doubles


def _settings(**limits):
  return running.Settings(
    checkpoint=files.path("model"),
    adapter=None,
    masks=None,
    given=None,
    host="127.0.0.1",
    port=0,
    metrics_port=None,
    keys=(),
    is_open=False,
    root_path="",
    vllm_names=False,
    limits=configs.Serving(**limits),
    slots=configs.Slots(),
  )


class _Client(threading.Thread):
  """Asks while the main thread serves; signals need the main thread."""

  def __init__(self, ask, address):
    super().__init__()
    self._ask, self._address = ask, address
    self.found = None

  def run(self):
    with httpx.Client(base_url=self._address, timeout=30) as client:
      self.found = self._ask(client)


def _served(tmp_path, model, engine, ask, **limits):
  """What `ask(client)` has found when the server has ended."""
  settings = _settings(**limits)
  with listening.bind("127.0.0.1", 0) as listener:
    client = _Client(ask, listening.address_of(listener))

    async def serve():
      service = services.Service(
        model,
        engine,
        doubles.maker(model),
        settings.limits,
        uploads.Store(tmp_path / "store", settings.limits),
        keys.Keys((), 600, 64),
      )
      client.start()
      await running.serve(settings, service, listener)

    try:
      asyncio.run(serve())
    finally:
      client.join(30)
  return client.found


def _until_ready(client):
  for _ in range(600):
    with contextlib.suppress(httpx.ConnectError):
      if client.get("/health").status_code == 200:
        return
    time.sleep(0.05)
  raise AssertionError("it never was ready")


def _streams(client, media, count, seen):
  """The whole streams of so many clients; `seen` when all have begun."""
  found, begun = [], threading.Barrier(count + 1)

  def stream():
    body = app_test._body(media, "crab:ks", stream=True)
    with client.stream("POST", "/v1/chat/completions", json=body) as reply:
      parts = reply.iter_text()
      first = next(parts)
      begun.wait(30)
      found.append(first + "".join(parts))

  threads = [threading.Thread(target=stream) for _ in range(count)]
  for thread in threads:
    thread.start()
  begun.wait(30)
  seen()
  for thread in threads:
    thread.join(30)
  return found


def test_a_signal_ends_sixteen_streams_in_time(
  tmp_path, found_model, media, capsys
):
  engine = doubles.Engine(found_model, pace=0.2)
  health = []

  def ask(client):
    _until_ready(client)

    def stop():
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.2)
      health.append(client.get("/health").json()["error"]["code"])
      refused = client.post("/v1/chat/completions", content=b"{}")
      health.append(refused.json()["error"]["code"])

    return _streams(client, media, 16, stop)

  begun = time.monotonic()
  found = _served(tmp_path, found_model, engine, ask, drain_seconds=0.5)
  assert time.monotonic() - begun < 30
  assert health == ["draining", "draining"]
  assert len(found) == 16
  assert all('"code": "draining"' in text for text in found)
  assert not any("[DONE]" in text for text in found)
  assert engine.stopped.is_set()
  out = capsys.readouterr().out
  assert "serving model at http://127.0.0.1:" in out and "draining" in out


def test_running_answers_may_end_after_a_signal(tmp_path, found_model, media):
  engine = doubles.Engine(found_model, pace=0.02)

  def ask(client):
    _until_ready(client)
    return _streams(
      client, media, 2, lambda: os.kill(os.getpid(), signal.SIGTERM)
    )

  found = _served(tmp_path, found_model, engine, ask)
  assert [text.endswith("data: [DONE]\n\n") for text in found] == [True, True]


def test_a_failed_engine_ends_the_process(tmp_path, found_model):
  engine = doubles.Engine(found_model)

  def ask(client):
    _until_ready(client)
    engine.error = RuntimeError("a defect")

  with pytest.raises(RuntimeError, match="a defect"):
    _served(tmp_path, found_model, engine, ask)


def test_headers_must_arrive_in_their_time(tmp_path, found_model):
  """And a connection that has asked before may not trickle either."""

  def ask(client):
    _until_ready(client)
    host, port = client.base_url.host, client.base_url.port
    whole = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
    for first in (b"", whole):
      with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(first + b"GET /health HTTP/1.1\r\nA: ")
        begun, received = time.monotonic(), b"-"
        while received:
          received = connection.recv(1 << 16)
          with contextlib.suppress(OSError):
            connection.sendall(b"a")
          if received:
            begun = time.monotonic()
          time.sleep(0.02)
        assert 0.2 < time.monotonic() - begun < 2
    os.kill(os.getpid(), signal.SIGTERM)
    return True

  engine = doubles.Engine(found_model)
  assert _served(tmp_path, found_model, engine, ask, header_seconds=0.4)


@pytest.mark.parametrize(
  ("host", "is_open", "valid", "refused"),
  [
    ("127.0.0.1", False, (), False),
    ("0.0.0.0", False, (), True),
    ("0.0.0.0", True, (), False),
    ("0.0.0.0", False, ("key",), False),
  ],
)
def test_other_machines_need_keys(host, is_open, valid, refused):
  with (
    pytest.raises(errors.UserError, match="--api_keys_file")
    if refused
    else contextlib.nullcontext()
  ):
    running.require_keys(host, valid, is_open)


def test_the_slots_that_have_no_room_are_a_users_error():
  full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
  assert isinstance(running.told(full), errors.UserError)
  other = RuntimeError("a defect")
  assert running.told(other) is other

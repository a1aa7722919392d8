"""Limits of the HTTP side: bodies, keys, queues, and who leaves."""

import base64
import concurrent.futures
import http.client
import socket
import time

import httpx
import pytest

from crab_jax.serving import interface
from tests.serving import conftest


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, found_model):
  """A server with keys and small limits."""
  server = conftest.Listening(
    tmp_path_factory.mktemp("store") / "media",
    found_model,
    valid=("secret", "other"),
    body_bytes=1 << 20,
    body_seconds=1.0,
    queue=2,
    request_seconds=20.0,
  )
  yield server
  server.close()


@pytest.fixture
def client(guarded):
  headers = {"authorization": "Bearer secret"}
  with httpx.Client(base_url=guarded.url, headers=headers, timeout=30) as found:
    yield found


def _body(media, **more):
  data = base64.b64encode(media["clip.mp4"]).decode()
  part = {"type": "video_url", "video_url": f"data:video/mp4;base64,{data}"}
  messages = [{"role": "user", "content": [part]}]
  return {"model": "crab:ave", "messages": messages, **more}


def test_every_route_but_a_few_wants_a_key(guarded):
  with httpx.Client(base_url=guarded.url) as client:
    for path in ("/health", "/ping", "/"):
      assert client.get(path).status_code == 200
    for path in ("/version", "/metrics", "/v1/models", "/v1/models/crab",
                 "/v1/files", "/v1/files/x", "/v1/files/x/content"):  # fmt: skip
      assert client.get(path).status_code == 401, path
    for path in ("/v1/chat/completions", "/v1/clips", "/v1/files"):
      found = client.post(path, content=b"x")
      assert found.status_code == 401, path
      assert found.json()["error"]["code"] == "invalid_api_key"


_FORM = (
  b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["chat/completions", "clips", "files"])
def test_a_body_is_counted_as_it_arrives(client, path, declared):
  content = _FORM + bytes(2 << 20)

  def pieces():
    for start in range(0, len(content), 1 << 16):
      yield content[start : start + (1 << 16)]

  try:
    found = client.post(
      f"/v1/{path}",
      content=content if declared else pieces(),
      headers={"content-type": "multipart/form-data; boundary=x"},
    )
  except (httpx.WriteError, httpx.ReadError):
    return  # the server has closed before all was sent
  assert found.status_code == 413
  assert found.json()["error"]["code"] == "request_too_large"


def test_a_body_that_trickles_is_given_up(guarded):
  port = int(guarded.url.rpartition(":")[2])
  with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(
      b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
      b"Authorization: Bearer secret\r\nContent-Length: 99999\r\n\r\n{"
    )
    begun = time.monotonic()
    connection.settimeout(10)
    reply = b"".join(iter(lambda: connection.recv(65536), b""))
  assert b" 408 " in reply.split(b"\r\n")[0] and b"slow_body" in reply
  assert 0.5 < time.monotonic() - begun < 5


def test_a_client_that_leaves_frees_its_slot(client, guarded, media):
  guarded.engine.pace = 0.2
  try:
    for stream in (True, False):
      guarded.engine.jobs.clear()
      guarded.engine.ended.clear()
      port = int(guarded.url.rpartition(":")[2])
      connection = http.client.HTTPConnection("127.0.0.1", port)
      connection.request(
        "POST",
        "/v1/chat/completions",
        httpx.Request(
          "POST", "http://x", json=_body(media, stream=stream)
        ).content,
        {"authorization": "Bearer secret"},
      )
      _until(lambda: guarded.engine.jobs)
      time.sleep(0.5)
      connection.sock.close()
      connection.close()
      _until(lambda: guarded.engine.ended)
      assert guarded.engine.ended[-1] == interface.Reason.CANCELLED
      _until(lambda: not guarded.service.running)
  finally:
    guarded.engine.pace = 0.0


def _until(condition):
  last = time.monotonic() + 10
  while not condition():
    assert time.monotonic() < last
    time.sleep(0.02)


def test_a_full_queue_says_when_to_come_again(client, guarded, media):
  guarded.engine.before_start = 1.0
  try:
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
      found = list(
        threads.map(
          lambda _: client.post("/v1/chat/completions", json=_body(media)),
          range(3),
        )
      )
  finally:
    guarded.engine.before_start = 0.0
  codes = sorted(reply.status_code for reply in found)
  assert codes == [200, 200, 429]
  refused = next(reply for reply in found if reply.status_code == 429)
  error = refused.json()["error"]
  assert error["code"] == "queue_full" and "rate limit" in error["message"]
  assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_waiting_stream_is_kept_alive_by_comments(client, guarded, media):
  guarded.engine.before_start = 0.8
  try:
    body = _body(media, stream=True)
    text = client.post("/v1/chat/completions", json=body).text
  finally:
    guarded.engine.before_start = 0.0
  assert ": wait 3\n\n" in text
  assert conftest.events(text)[-1] == "[DONE]"


def test_a_stop_ends_streams_with_an_error(client, guarded, media):
  guarded.engine.pace = 0.2
  try:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
      asked = threads.submit(
        client.post, "/v1/chat/completions", json=_body(media, stream=True)
      )
      _until(lambda: guarded.service.running)
      time.sleep(1.0)
      guarded.service.is_draining = True
      assert client.get("/health").json()["error"]["code"] == "draining"
      late = client.post("/v1/chat/completions", json=_body(media))
      assert late.status_code == 503 and late.headers["retry-after"]
      guarded.loop.call_soon_threadsafe(guarded.service.end_all)
      values = conftest.events(asked.result().text)
  finally:
    guarded.engine.pace, guarded.service.is_draining = 0.0, False
  assert values[-1]["error"]["code"] == "draining"


def test_one_client_cannot_read_the_files_of_another(client, guarded):
  made = client.post("/v1/files", files={"file": ("x", b"data")}).json()
  other = {"authorization": "Bearer other"}
  path = f"/v1/files/{made['id']}"
  assert client.get(path).status_code == 200
  assert client.get(path, headers=other).status_code == 404
  assert client.delete(path, headers=other).status_code == 404
  assert client.delete(path).status_code == 200

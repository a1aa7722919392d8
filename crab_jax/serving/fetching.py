"""Media of other hosts: only by name, only over TLS, never inside the network.

A name is resolved once and every address of it must be global; the connection
goes to that address and not to the name, so a second answer of the resolver
changes nothing. Redirects are checked like the first address. No proxy, no
cookie, no compression.
"""

import http.client
import ipaddress
import os
import pathlib
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

from crab_jax import configs
from crab_jax import files
from crab_jax.serving import failures

_REDIRECTS = 2
_CONNECT_SECONDS = 10.0
_SECONDS = 30.0  # of a whole file
_PIECE = 1 << 16  # bytes
_MOVED = (301, 302, 303, 307, 308)
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}

Resolve = Callable[[str, int], list[str]]  # name, port -> addresses
# address, port, name for TLS, seconds -> a connected socket
Connect = Callable[[str, int, str, float], socket.socket]


def resolve(name: str, port: int) -> list[str]:
  """The addresses of a name.

  Raises:
    OSError: it has none.
  """
  found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
  return [str(entry[4][0]) for entry in found]


def connect(
  address: str, port: int, name: str, seconds: float
) -> socket.socket:
  """A TLS connection to an address, whose certificate is of the name.

  Raises:
    OSError: there is none.
  """
  plain = socket.create_connection((address, port), seconds)
  try:
    context = ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=name)
  except BaseException:
    plain.close()
    raise


class _Place(NamedTuple):
  """Where a file is."""

  host: str
  port: int
  target: str  # path and query


class Fetcher:
  """Gets media from the hosts that are allowed.

  Args:
    limits: the hosts, the root of file:// URLs, and bytes.
    resolve: gives addresses.
    connect: gives connections.
    clock: gives seconds.
  """

  def __init__(
    self,
    limits: configs.Serving,
    resolve: Resolve = resolve,
    connect: Connect = connect,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._limits = limits
    self._resolve, self._connect, self._clock = resolve, connect, clock

  def read(self, url: str, param: str) -> bytes:
    """The content of an https:// or file:// URL; blocks.

    Args:
      url: of the request.
      param: where it stands there.

    Raises:
      Failure: 403, it is not allowed; 400, it cannot be read; 413.
    """
    if url.startswith("file://"):
      return self._local(url, param)
    deadline = self._clock() + _SECONDS
    for _ in range(_REDIRECTS + 1):
      place = self._allowed(url, param)
      found = self._get(place, deadline, param)
      if isinstance(found, bytes):
        return found
      url = urllib.parse.urljoin(url, found)
    raise failures.Failure(
      400, "bad_media", f"{param}: over {_REDIRECTS} redirects", param
    )

  def _local(self, url: str, param: str) -> bytes:
    """A file below the root of media, by its real path."""
    root = self._limits.media_root
    parsed = urllib.parse.urlsplit(url)
    name = urllib.parse.unquote(parsed.path)
    if root is None or parsed.netloc not in ("", "localhost") or "\0" in name:
      raise _forbidden(param, "file:// URLs are not allowed here")
    # Not `Path.resolve`: that of etils follows no links.
    base = pathlib.Path(os.path.realpath(root))
    path = pathlib.Path(os.path.realpath(name or "/"))
    if base not in path.parents or not path.is_file():
      # The same words, or a client could ask which files there are.
      raise _forbidden(param, "there is no such file below the media root")
    if files.size(path) > self._limits.body_bytes:
      raise _too_large(param, self._limits.body_bytes)
    return path.read_bytes()

  def _allowed(self, url: str, param: str) -> _Place:
    """Where a URL leads.

    Raises:
      Failure: 403.
    """
    try:
      parsed = urllib.parse.urlsplit(url)
      host, port = parsed.hostname or "", parsed.port or 443
    except ValueError:
      raise _forbidden(param, "the URL cannot be read") from None
    if not self._limits.media_hosts:
      raise _forbidden(
        param, "media of other hosts are not allowed here: send data: URLs"
      )
    is_plain = parsed.username is None and port == 443
    if parsed.scheme != "https" or not is_plain:
      raise _forbidden(param, "only https URLs without user and port are read")
    if host not in self._limits.media_hosts:
      raise _forbidden(param, f"the host {host[:100]!r} is not allowed here")
    target = parsed.path or "/"
    if parsed.query:
      target += f"?{parsed.query}"
    quoted = urllib.parse.quote(target, safe="/?&=%:+,;@~!$'()*[]")
    return _Place(host, port, quoted)

  def _address(self, place: _Place, param: str) -> str:
    """An address of a host, all of whose addresses are global."""
    try:
      found = self._resolve(place.host, place.port)
    except (OSError, UnicodeError) as error:
      raise _unread(param, f"{place.host} has no address") from error
    if not found:
      raise _unread(param, f"{place.host} has no address")
    if not all(map(is_global, found)):
      raise _forbidden(param, f"{place.host} is no address of the open network")
    return found[0]

  def _get(self, place: _Place, deadline: float, param: str) -> bytes | str:
    """The content, or where it is said to be."""
    address = self._address(place, param)
    connection = http.client.HTTPConnection(place.host, place.port)
    try:
      remaining = min(_CONNECT_SECONDS, deadline - self._clock())
      connection.sock = self._connect(
        address, place.port, place.host, max(0.1, remaining)
      )
      connection.request("GET", place.target, headers=_HEADERS)
      reply = connection.getresponse()
      if reply.status in _MOVED and reply.headers["location"]:
        return str(reply.headers["location"])
      if reply.status != 200:
        raise _unread(param, f"{place.host} says {reply.status}")
      return self._content(connection, reply, deadline, param)
    except (OSError, http.client.HTTPException, ValueError) as error:
      raise _unread(param, f"{place.host} cannot be read") from error
    finally:
      connection.close()

  def _content(self, connection, reply, deadline: float, param: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
      remaining = deadline - self._clock()
      if remaining <= 0:
        raise _unread(param, f"it took over {_SECONDS:g} s")
      # `read1` returns what has come: a slow host cannot stretch the time.
      if connection.sock is not None:
        connection.sock.settimeout(remaining)
      piece = reply.read1(_PIECE)
      if not piece:
        return b"".join(pieces)
      size += len(piece)
      if size > self._limits.body_bytes:
        raise _too_large(param, self._limits.body_bytes)
      pieces.append(piece)


def is_global(address: str) -> bool:
  """Whether an address is one of the open network, IPv4 inside of IPv6 too."""
  try:
    found = ipaddress.ip_address(address.partition("%")[0])
  except ValueError:
    return False
  if isinstance(found, ipaddress.IPv6Address):
    inside = found.ipv4_mapped or found.sixtofour
    if found.teredo:
      inside = found.teredo[1]
    if found in ipaddress.ip_network("64:ff9b::/96"):  # NAT64
      inside = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    if inside is not None and not inside.is_global:
      return False
  return found.is_global and not found.is_multicast


def _forbidden(param: str, message: str) -> failures.Failure:
  return failures.Failure(
    403, "media_host_not_allowed", f"{param}: {message}", param
  )


def _unread(param: str, message: str) -> failures.Failure:
  return failures.Failure(400, "bad_media", f"{param}: {message}", param)


def _too_large(param: str, limit: int) -> failures.Failure:
  return failures.Failure(
    413, "request_too_large", f"{param}: over {limit} bytes", param
  )

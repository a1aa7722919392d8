"""The socket of a server, and what of uvicorn is not as we need it."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl

from crab_jax import configs
from crab_jax import errors

_WAITING = 2048  # connections that the system keeps for us
# Seconds that connections have to end once every answer has.
_FAREWELL_SECONDS = 4


def bind(host: str, port: int, flag: str = "port") -> socket.socket:
  """A socket at an address; nobody can connect to it yet.

  Args:
    host: a name or an address.
    port: 0: one that is free.
    flag: the name of the port's flag, for errors.

  Raises:
    UserError: the address cannot be had.
  """
  try:
    family, kind, protocol, _, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
      # A server that has just ended must not keep its successor waiting.
      made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      made.bind(address)
    except OSError:
      made.close()
      raise
  except OSError as error:
    raise errors.UserError(
      f"--host={host} --{flag}={port} cannot be had: {error.strerror or error}"
    ) from error
  return made


def address_of(listener: socket.socket) -> str:
  """Where clients find a socket, as a URL."""
  host, port = listener.getsockname()[:2]
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
  """uvicorn, whose process handles signals by itself: it drains first."""

  @contextlib.contextmanager
  def capture_signals(self) -> Iterator[None]:
    yield


def server(app: Any, limits: configs.Serving, root_path: str = "") -> Server:
  """A server of an application.

  Args:
    app: of ASGI.
    limits: of requests.
    root_path: below which a proxy shows it.
  """
  config = uvicorn.Config(
    app,
    http=_protocol(limits.header_seconds),
    backlog=_WAITING,
    lifespan="off",
    # The application counts requests; a line for each would name clients.
    access_log=False,
    # Its own would close the handlers that there are.
    log_config=None,
    log_level="warning",
    root_path=root_path,
    server_header=False,
    timeout_graceful_shutdown=_FAREWELL_SECONDS,
  )
  return Server(config)


def _protocol(header_seconds: float) -> type[h11_impl.H11Protocol]:
  """The protocol of a connection that may not trickle its headers."""

  class Protocol(h11_impl.H11Protocol):
    """Closes a connection that sends no whole request in its time.

    uvicorn only closes connections that send nothing between two requests.
    """

    def connection_made(self, transport) -> None:
      super().connection_made(transport)
      self._expect()

    def on_response_complete(self) -> None:
      super().on_response_complete()
      self._expect()

    def _expect(self) -> None:
      last = self.cycle
      self.loop.call_later(header_seconds, self._close_if_still, last)

    def _close_if_still(self, last) -> None:
      if self.cycle is last:
        self.transport.close()

  return Protocol

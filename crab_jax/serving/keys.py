"""Who may ask, and how much: keys, requests a minute, requests at a time."""

import collections
import hashlib
import hmac
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager

from crab_jax import errors
from crab_jax import files
from crab_jax.serving import failures

LOCAL = "local"  # the owner of all requests where no keys are used
_SHOWN = 12  # characters of a key's hash that name its owner
_MINUTE = 60.0  # seconds


def read(path: files.Path) -> tuple[str, ...]:
  """The keys of a file, one a line; empty lines and "# ..." are no keys.

  Raises:
    UserError: the file is not there, or holds none.
  """
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f"--api_keys_file={path}: {error}") from error
  stripped = (line.strip() for line in lines)
  found = tuple(x for x in stripped if x and not x.startswith("#"))
  if not found:
    raise errors.UserError(f"--api_keys_file={path} holds no key")
  return found


class Keys:
  """The keys of a server, and what each may still ask.

  Args:
    keys: all that are valid; (): none is needed.
    rpm: requests a minute of one key.
    slots: requests of one key at a time.
    clock: gives seconds.
  """

  def __init__(
    self,
    keys: Iterable[str],
    rpm: int,
    slots: int,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._digests = [_digest(key) for key in keys]
    self._rpm, self._slots, self._clock = rpm, slots, clock
    # owner -> (requests that may be made at once, since when)
    self._budgets: dict[str, tuple[float, float]] = {}
    self._running: collections.Counter[str] = collections.Counter()

  @property
  def needed(self) -> bool:
    """Whether a request must have a key."""
    return bool(self._digests)

  def owner(self, authorization: str | None) -> str:
    """Whose a request is: a hash of its key, which logs may hold.

    Args:
      authorization: the header, "Bearer KEY".

    Raises:
      Failure: 401.
    """
    if not self._digests:
      return LOCAL
    scheme, _, key = (authorization or "").partition(" ")
    given, matches = _digest(key.strip()), False
    # Every key is compared: the time tells nothing of which one was close.
    for digest in self._digests:
      matches |= hmac.compare_digest(digest, given)
    if scheme.lower() != "bearer" or not matches:
      raise failures.Failure(
        401, "invalid_api_key", "the API key is missing or wrong"
      )
    return given.hex()[:_SHOWN]

  def charge(self, owner: str) -> None:
    """Counts a request against the owner's minute.

    Raises:
      Failure: 429; the owner has asked too often.
    """
    now = self._clock()
    budget, since = self._budgets.get(owner, (float(self._rpm), now))
    budget = min(self._rpm, budget + (now - since) * self._rpm / _MINUTE)
    if budget < 1:
      self._budgets[owner] = budget, now
      raise _too_many(
        f"rate limit: {self._rpm} requests a minute for a key",
        (1 - budget) * _MINUTE / self._rpm,
      )
    self._budgets[owner] = budget - 1, now

  @contextmanager
  def running(self, owner: str) -> Iterator[None]:
    """Counts a request while it is answered.

    Raises:
      Failure: 429; the owner has as many at work as a key may.
    """
    if self._running[owner] >= self._slots:
      raise _too_many(
        f"rate limit: {self._slots} requests at a time for a key", 1.0
      )
    self._running[owner] += 1
    try:
      yield
    finally:
      self._running[owner] -= 1
      if not self._running[owner]:
        del self._running[owner]


def _too_many(message: str, seconds: float) -> failures.Failure:
  return failures.Failure(429, "key_rate", message, None, seconds)


def _digest(key: str) -> bytes:
  return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()

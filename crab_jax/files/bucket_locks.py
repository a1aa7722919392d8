"""A lock in a bucket: an object that its holder renews."""

import contextlib
import dataclasses
import json
import os
import threading
import uuid
from collections.abc import Iterator

from crab_jax import buckets
from crab_jax import errors
from crab_jax import processes
from crab_jax.files import paths

LEASE = 120.0  # seconds that a lock is held without a sign of its holder


class Held(Exception):
  """Another process holds a lock."""


@contextlib.contextmanager
def lock(path: paths.Path) -> Iterator[None]:
  """Holds a lock object.

  Its holder renews it. One whose process is gone is taken over: at once if
  that can be known from here, else when it was not renewed for `LEASE`.

  Raises:
    Held: another process holds it.
    UserError: another process took it over, as this one did not answer.
  """
  name, text = os.fspath(path), _signature()
  _take(name, text)
  ended = threading.Event()
  thread = threading.Thread(target=_renew, args=(name, text, ended))
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()
    which, found = buckets.generation(name), buckets.content(name)
    if found == text:
      buckets.remove_generation(name, which)
  if found != text:
    raise errors.UserError(
      f"{name}: another process took the lock over; what both wrote has to be"
      " made again"
    )


def _signature() -> bytes:
  """Who holds a lock: a process, and which of its locks."""
  me = dataclasses.asdict(processes.me())
  return json.dumps({"holder": me, "lock": uuid.uuid4().hex}).encode()


def _take(path: str, text: bytes) -> None:
  if buckets.claim(path, text):
    return
  # Asked for before the content, so that what is removed is what was read.
  which, found = buckets.generation(path), buckets.content(path)
  if not _is_gone(found) and buckets.age(path) < LEASE:
    raise Held(path)
  buckets.remove_generation(path, which)
  if not buckets.claim(path, text):
    raise Held(path)


def _is_gone(text: bytes | None) -> bool:
  if text is None:
    return True
  try:
    return processes.Process(**json.loads(text)["holder"]).is_gone
  except (ValueError, KeyError, TypeError):
    return False  # of another version: its age decides


def _renew(path: str, text: bytes, ended: threading.Event) -> None:
  # So three renewals in a row may fail before the lease ends.
  while not ended.wait(LEASE / 4):
    # A bucket that does not answer now may do so at the next turn.
    with contextlib.suppress(Exception):
      if buckets.content(path) != text:
        return
      buckets.write(path, text)

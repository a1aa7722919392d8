"""Objects of a bucket, `gs://BUCKET/NAME`: what `files` does on no disk.

A bucket has no folders, no renaming and no appending. An object appears whole
or not at all, and an object can be made on the condition that there is none.
Requests that fail with 408, 429 or 5xx are tried again (by gcsfs, six times).

Only `files` imports this module. Paths are texts, with `gs://`.
"""

import contextlib
import datetime
import fnmatch
import functools
import io
import logging
import os
import socket
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from crab_jax import errors

_SCHEME = "gs://"
# Parts that are joined with a log; a kill in the middle leaves one behind.
_PART = ".appended-"
_PATIENCE = 20.0  # seconds until the service counts as out of reach


def holds(path: str | os.PathLike[str]) -> bool:
  """Whether a path is of a bucket."""
  return os.fspath(path).startswith(_SCHEME)


@functools.cache
def check(bucket: str) -> None:
  """Asks once for a bucket, so that a later error is no riddle.

  Raises:
    UserError: there is no such bucket, or it cannot be read from here.
  """
  _reach(bucket)
  with as_user_error(f"{_SCHEME}{bucket}"):
    try:
      _call("GET", "b/{}/o", bucket, maxResults=1)
    except FileNotFoundError as error:
      raise errors.UserError(
        f"{_SCHEME}{bucket}: there is no such bucket, or this account may not"
        " know of it"
      ) from error


def _reach(bucket: str) -> None:
  """Whether the service can be reached: gcsfs would try for a minute."""
  # gcsfs has no public name for where it sends requests.
  address = urllib.parse.urlsplit(_system()._location)
  port = address.port or (443 if address.scheme == "https" else 80)
  try:
    socket.create_connection((address.hostname, port), _PATIENCE).close()
  except OSError as error:
    raise errors.UserError(
      f"{_SCHEME}{bucket}: {address.hostname} cannot be reached: {error}"
    ) from error


def bucket_of(path: str | os.PathLike[str]) -> str:
  """The name of a path's bucket."""
  return os.fspath(path).removeprefix(_SCHEME).partition("/")[0]


def key_of(path: str | os.PathLike[str]) -> str:
  """The name of a path's object in its bucket."""
  return os.fspath(path).removeprefix(_SCHEME).partition("/")[2]


@functools.cache
def _system() -> Any:
  try:
    import fsspec
    import gcsfs  # noqa: F401  fsspec finds it by its scheme
  except ImportError as error:
    raise errors.UserError(
      "gs:// needs gcsfs: pip install 'crab_jax[gcs]'"
    ) from error
  # Every instance, those of etils.epath too: another process may have written
  # to a folder since it was listed.
  fsspec.config.conf.setdefault("gs", {})["use_listings_cache"] = False
  # It prints a traceback of what is raised anyway.
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
  return fsspec.filesystem("gs", use_listings_cache=False)


def _call(method: str, path: str, *names: str, **options: Any) -> Any:
  return _system().call(method, path, *names, json_out=True, **options)


@contextlib.contextmanager
def as_user_error(path: str | os.PathLike[str]) -> Iterator[None]:
  """What a bucket refuses in its body is one error of the user's.

  That an object is missing, or is there already, remains an error of files.
  """
  try:
    yield
  except (FileNotFoundError, FileExistsError, errors.UserError):
    raise
  except Exception as error:
    reason = refusal(error)
    if reason is None:
      raise
    raise errors.UserError(f"{os.fspath(path)}: {reason}") from error


_LOGIN = "gcloud auth application-default login"


def refusal(error: BaseException) -> str | None:
  """Why a bucket refused, for people; None: the error is another one."""
  if "gcsfs" not in _modules_of(error):
    return None
  said = " ".join(str(error).split())[:200]
  code = getattr(error, "code", None)
  if type(error).__module__.startswith("google.auth") or str(code) == "401":
    return f"no valid credentials ({said}); {_LOGIN}"
  if said.startswith("Forbidden") or "does not have" in said:
    return f"this account is not allowed to do so ({said})"
  if type(error).__module__.startswith(("aiohttp", "requests")):
    return f"the bucket cannot be reached ({said})"
  if isinstance(error, OSError | ValueError) or code is not None:
    return f"the bucket does not answer as it should ({said})"
  return None


def _modules_of(error: BaseException) -> set[str]:
  """The libraries that an error came through, or is of."""
  found = {type(error).__module__.partition(".")[0]}
  trace = error.__traceback__
  while trace is not None:
    name = trace.tb_frame.f_globals.get("__name__", "")
    found.add(name.partition(".")[0])
    trace = trace.tb_next
  return found


def _guarded(function):
  """A function of a path whose refusals are errors of the user's."""

  @functools.wraps(function)
  def guarded(path, *arguments, **options):
    with as_user_error(path):
      return function(os.fspath(path), *arguments, **options)

  return guarded


@_guarded
def read(path: str, start: int | None = None, end: int | None = None) -> bytes:
  """An object, or its bytes from `start` to `end`, in one request."""
  return _system().cat_file(path, start, end)


@_guarded
def reading(path: str) -> io.IOBase:
  """An object opened for reading, a block a request."""
  return _system().open(path, "rb")


@_guarded
def write(path: str, data: bytes) -> None:
  """Makes or replaces an object."""
  _system().pipe_file(path, data)


@_guarded
def claim(path: str, data: bytes) -> bool:
  """Makes an object that is not there; of all who try, one gets True."""
  # A repeated request finds what the first one made before its answer was
  # lost: the content tells whose it is.
  try:
    _system().pipe_file(path, data, mode="create")
  except FileExistsError:
    return content(path) == data
  return True


@_guarded
def content(path: str) -> bytes | None:
  """The bytes of an object; None: it is not there."""
  try:
    return _system().cat_file(path)
  except FileNotFoundError:
    return None


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Any]:
  """A file to write, which becomes an object when the block ends.

  It lies on the local disk until then: nothing else can be written in pieces
  and yet appear whole.
  """
  with tempfile.NamedTemporaryFile(prefix="crab_jax-") as file:
    yield file
    file.flush()
    upload(file.name, path)


def upload(local: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
  """Makes an object of a local file."""
  with as_user_error(path):
    _system().put_file(os.fspath(local), os.fspath(path))


def upload_folder(
  local: str | os.PathLike[str], path: str | os.PathLike[str], last: str | None
) -> None:
  """Uploads a folder; the object `last` follows when the others are there."""
  with as_user_error(path):
    names = [
      os.path.relpath(os.path.join(top, name), local)
      for top, _, found in os.walk(local)
      for name in found
    ]
    system, target = _system(), os.fspath(path)
    rest = [name for name in sorted(names) if name != last]
    system.put(
      [os.path.join(local, name) for name in rest],
      [f"{target}/{name}" for name in rest],
    )
    if last is not None:
      system.put_file(os.path.join(local, last), f"{target}/{last}")


@_guarded
def download(path: str, local: str) -> None:
  """Copies an object to a local file."""
  _system().get_file(path, local)


@_guarded
def append(path: str, data: bytes) -> None:
  """Puts bytes at the end of an object, which one process writes."""
  system = _system()
  try:
    before = system.info(path)
  except FileNotFoundError:
    system.pipe_file(path, data)
    return
  part = f"{path}{_PART}{uuid.uuid4().hex[:8]}"
  system.pipe_file(part, data)
  try:
    # Only if nobody wrote since: two writers would lose a line of each other.
    _join(path, part, before["generation"])
  except FileExistsError:
    # The generation differs: a repeated request finds its first one done.
    if system.info(path)["size"] != before["size"] + len(data):
      raise
  system.rm_file(part)


def _join(path: str, part: str, generation: str) -> None:
  """One object of the two, by the server."""
  sources = [{"name": key_of(path)}, {"name": key_of(part)}]
  content = {"sourceObjects": sources, "destination": {"contentType": ""}}
  _call(
    "POST",
    "b/{}/o/{}/compose",
    bucket_of(path),
    key_of(path),
    json=content,
    ifGenerationMatch=generation,
  )


@_guarded
def remove(path: str, first: str | None = None) -> None:
  """Removes an object and all below it; `first` of them before the others."""
  system = _system()
  if first is not None:
    with contextlib.suppress(FileNotFoundError):
      system.rm_file(f"{path}/{first}")
  with contextlib.suppress(FileNotFoundError):
    system.rm(path, recursive=True)


@_guarded
def generation(path: str) -> str | None:
  """Which of all objects that had this name is there; None: none."""
  try:
    return _system().info(path)["generation"]
  except FileNotFoundError:
    return None


@_guarded
def remove_generation(path: str, which: str | None) -> None:
  """Removes an object unless another one has its name by now, or none."""
  if which is None:
    return
  with contextlib.suppress(FileNotFoundError, FileExistsError):
    _system().call(
      "DELETE",
      "b/{}/o/{}",
      bucket_of(path),
      key_of(path),
      ifGenerationMatch=which,
    )


@_guarded
def listing(folder: str) -> list[str]:
  """The names in a folder, in order; [] where there is nothing."""
  try:
    found = _system().ls(folder, detail=False)
  except FileNotFoundError:
    return []
  prefix = f"{bucket_of(folder)}/{key_of(folder)}".rstrip("/") + "/"
  names = {name.rstrip("/").removeprefix(prefix) for name in found}
  return sorted(name for name in names if name and "/" not in name)


@_guarded
def sizes(folder: str, pattern: str) -> dict[str, int]:
  """Bytes of the objects in a folder and all below, by relative name."""
  prefix = f"{bucket_of(folder)}/{key_of(folder)}".rstrip("/") + "/"
  found = _system().find(folder, detail=True)
  return {
    name.removeprefix(prefix): facts["size"]
    for name, facts in sorted(found.items())
    if fnmatch.fnmatch(name.rpartition("/")[2], pattern)
  }


@_guarded
def is_object(path: str) -> bool:
  """Whether there is an object of this name, in one request."""
  try:
    _call("GET", "b/{}/o/{}", bucket_of(path), key_of(path))
  except FileNotFoundError:
    return False
  return True


@_guarded
def size(path: str) -> int:
  """Bytes of an object."""
  return _system().info(path)["size"]


@_guarded
def stamp(path: str) -> tuple[int, int] | None:
  """What changes when an object does; None: it is not there."""
  try:
    facts = _system().info(path)
  except FileNotFoundError:
    return None
  return facts["size"], int(facts.get("generation", 0))


def stamps(
  paths: Iterable[str | os.PathLike[str]],
) -> list[tuple[int, int] | None]:
  """`stamp` of many, asked for at once."""
  import concurrent.futures

  with concurrent.futures.ThreadPoolExecutor(16) as pool:
    return list(pool.map(stamp, paths))


@_guarded
def touch(path: str) -> None:
  """Makes the `age` of an object zero."""
  _system().pipe_file(path, _system().cat_file(path))


@_guarded
def age(path: str) -> float:
  """Seconds since an object was written, by the two clocks."""
  updated: datetime.datetime = _system().info(path)["mtime"]
  # The bucket's clock may be ahead of this one.
  return max(0.0, time.time() - updated.timestamp())

"""Media on the disk: files that clients upload, and those of running requests.

A file is named by the SHA-256 of its content, so that equal media lie there
once; it is removed when nobody holds it any longer.
"""

import collections
import dataclasses
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from collections.abc import Callable

from crab_jax import configs
from crab_jax import files
from crab_jax.serving import failures

_ID_BYTES = 12


@dataclasses.dataclass(frozen=True)
class Blob:
  """A file of the store.

  Attributes:
    path: its name is the SHA-256 of the content.
    size: bytes.
  """

  path: files.Path
  size: int


@dataclasses.dataclass(frozen=True)
class Upload:
  """A file that a client has uploaded.

  Attributes:
    id: "file-...".
    owner: who may use it.
    name: as the client called it; names no path here.
    purpose: as the client said.
    blob: the content.
    created: seconds since 1970.
    expires: seconds since 1970.
  """

  id: str
  owner: str
  name: str
  purpose: str
  blob: Blob
  created: float
  expires: float

  def to_json(self) -> dict:
    """The file object of OpenAI's protocol."""
    return {
      "id": self.id,
      "object": "file",
      "bytes": self.blob.size,
      "created_at": int(self.created),
      "expires_at": int(self.expires),
      "filename": self.name,
      "purpose": self.purpose,
      "status": "processed",
    }


class Store:
  """The files of a server; used by one event loop.

  Args:
    folder: where they lie; the store makes it, and removes what is in it.
    limits: how long and how much is kept.
    clock: gives seconds since 1970.
  """

  def __init__(
    self,
    folder: files.Path,
    limits: configs.Serving,
    clock: Callable[[], float] = time.time,
  ):
    files.remove(folder)  # what a server left that was killed
    files.make_folder(folder)
    self._folder, self._limits, self._clock = folder, limits, clock
    self._uploads: dict[str, Upload] = {}
    self._holders: collections.Counter[files.Path] = collections.Counter()

  def put(self, data: bytes) -> Blob:
    """A file with a content, held once more; see `release`."""
    path = self._folder / hashlib.sha256(data).hexdigest()
    if not self._holders[path]:
      files.write_bytes(path, data)
    self._holders[path] += 1
    return Blob(path, len(data))

  async def put_stream(self, pieces: AsyncIterator[bytes]) -> Blob:
    """As `put`, of pieces that arrive one by one."""
    begun = self._folder / f"arriving-{secrets.token_hex(_ID_BYTES)}"
    digest, size = hashlib.sha256(), 0
    try:
      with files.writing(begun) as file:
        async for piece in pieces:
          digest.update(piece)
          file.write(piece)
          size += len(piece)
      path = self._folder / digest.hexdigest()
      if not self._holders[path]:
        files.link(begun, path)
      self._holders[path] += 1
    finally:
      files.remove(begun)
    return Blob(path, size)

  def hold(self, blob: Blob) -> Blob:
    """The same file, held once more."""
    self._holders[blob.path] += 1
    return blob

  def release(self, blob: Blob) -> None:
    """Ends one holding; the last one removes the file."""
    self._holders[blob.path] -= 1
    if self._holders[blob.path] <= 0:
      del self._holders[blob.path]
      files.remove(blob.path)

  def add(self, blob: Blob, owner: str, name: str, purpose: str) -> Upload:
    """Keeps a held file under an id for its owner.

    Raises:
      Failure: 413; there is no room. The file is no longer held.
    """
    self.expire()
    used = sum(upload.blob.size for upload in self._uploads.values())
    if used + blob.size > self._limits.file_bytes:
      self.release(blob)
      raise failures.Failure(
        413,
        "files_full",
        "there is no room for more files; delete some, or wait until they"
        " expire",
        "file",
      )
    now = self._clock()
    upload = Upload(
      f"file-{secrets.token_hex(_ID_BYTES)}",
      owner,
      name,
      purpose,
      blob,
      now,
      now + self._limits.file_seconds,
    )
    self._uploads[upload.id] = upload
    return upload

  def get(self, name: str, owner: str, param: str | None = None) -> Upload:
    """A file of an owner.

    Raises:
      Failure: 404; there is none, or it is another's.
    """
    self.expire()
    found = self._uploads.get(name)
    if found is None or found.owner != owner:
      raise failures.Failure(
        404, "file_not_found", f"there is no file {name[:80]!r}", param
      )
    return found

  def all(self, owner: str) -> list[Upload]:
    """The files of an owner, oldest first."""
    self.expire()
    return [x for x in self._uploads.values() if x.owner == owner]

  def delete(self, name: str, owner: str) -> None:
    """Removes a file of an owner.

    Raises:
      Failure: 404; there is none.
    """
    upload = self.get(name, owner)
    del self._uploads[upload.id]
    self.release(upload.blob)

  def expire(self) -> None:
    """Removes the files whose time is over."""
    now = self._clock()
    for upload in [x for x in self._uploads.values() if x.expires <= now]:
      del self._uploads[upload.id]
      self.release(upload.blob)

  def close(self) -> None:
    """Removes all files."""
    files.remove(self._folder)

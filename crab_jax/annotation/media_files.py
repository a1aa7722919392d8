"""What is known of the media files of a source, each looked at once.

The log remembers a file by its path, size and time, so that a second run does
not read it again.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping

import av
from PIL import Image

from crab_jax import files
from crab_jax.annotation import lines
from crab_jax.annotation import truths
from crab_jax.data.media import streams

_BLOCK = 1 << 20  # bytes that are hashed at a time
_ORIENTATION = 0x0112  # EXIF: how a picture is turned
_TURNED = (5, 6, 7, 8)  # by a quarter
_MICRO = 1_000_000  # a container counts in microseconds


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a media file is.

  Attributes:
    path: relative to the folder of the media.
    sha256: of its bytes.
    seconds: that it lasts; None: a picture, or nobody tells.
    video, audio: whether it has frames, and sound.
    size: width and height in pixels; None: it has no frames.
  """

  path: str
  sha256: str
  seconds: float | None
  video: bool
  audio: bool
  size: tuple[int, int] | None

  @property
  def short(self) -> str:
    """The beginning of its hash, which names it."""
    return self.sha256[:16]

  @property
  def suffix(self) -> str:
    """Of its name, ".mp4"."""
    return os.path.splitext(self.path)[1].lower()


class Library:
  """The files of one folder.

  Args:
    folder: of the media.
    log: where what was found is kept.
  """

  def __init__(self, folder: files.Path, log: files.Path):
    self.folder = folder
    self._log = lines.Log(log)
    self._known: dict[tuple, Facts] = {
      _key(line): _facts(line) for line in self._log.lines
    }

  def facts(self, path: str, image: bool = False) -> Facts:
    """What a file is.

    Args:
      path: relative to the folder.
      image: whether it should be a picture.

    Raises:
      Unbuildable: missing_file, or bad_media.
    """
    stamp = files.stamp(self.folder / path)
    if stamp is None or not (self.folder / path).is_file():
      raise truths.Unbuildable("missing_file", f"no file {self.folder / path}")
    key = (path, *stamp, image)
    if key not in self._known:
      found = _look(self.folder / path, path, image)
      self._log.add(
        {"stamp": stamp, "image": image, **dataclasses.asdict(found)}
      )
      self._known[key] = found
    return self._known[key]


def _key(line: Mapping) -> tuple:
  return (line["path"], *line["stamp"], line["image"])


def _facts(line: Mapping) -> Facts:
  values = {f.name: line[f.name] for f in dataclasses.fields(Facts)}
  if values["size"] is not None:
    values["size"] = tuple(values["size"])
  return Facts(**values)


def sha256(path: files.Path) -> str:
  """The hash of a file's bytes."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


def _look(path: files.Path, name: str, image: bool) -> Facts:
  digest = sha256(path)
  try:
    if image:
      with Image.open(path) as picture:
        wide, high = picture.size
        if picture.getexif().get(_ORIENTATION, 1) in _TURNED:
          wide, high = high, wide
        return Facts(name, digest, None, True, False, (wide, high))
    with streams.opened(path) as container:
      size = next(((s.width, s.height) for s in container.streams.video), None)
      seconds = container.duration and container.duration / _MICRO
      audio = bool(container.streams.audio)
      return Facts(name, digest, seconds, size is not None, audio, size)
  except (
    av.FFmpegError,
    OSError,
    ValueError,
    Image.DecompressionBombError,
  ) as error:
    raise truths.Unbuildable("bad_media", f"{path}: {error}") from error

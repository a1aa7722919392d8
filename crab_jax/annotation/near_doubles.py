"""Clips of two splits that look alike though their bytes differ.

A clip that was encoded anew or scaled has another hash. Its print is the
difference hash of three frames: where a small grey picture of each becomes
brighter to the right and downwards. Prints that share most of these marks, of
clips that last equally long, may be near-doubles. Different faces in one place
share them too, so that the colours of a small picture of each frame are compared
as well, but for how bright the whole is. Whether they are the same, a person
decides.

Reference: Krawetz 2013, "Kind of Like That" (dHash). Differences of less than
`_MARGIN` set no bit here, so that plain areas, which compression makes noisy,
have none in common either.
"""

import concurrent.futures
import dataclasses
import itertools
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import av
import numpy as np
import tqdm
from PIL import Image

from crab_jax import files
from crab_jax.annotation import items
from crab_jax.annotation import lines
from crab_jax.annotation import media_files
from crab_jax.annotation import showing
from crab_jax.annotation.checking import findings
from crab_jax.data import tasks

FILE = "prints.jsonl"
CODE = "near_double"
_SIDE = 9  # pixels of the small picture: 8 differences a row and a column
_MARGIN = 2.0  # grey levels
_PLACES = (1 / 6, 1 / 2, 5 / 6)  # of the clip, where its frames are taken
# Measured on a clip of AVE, 10 s, encoded anew as H.264 at 112, 224 and 360
# pixels: at CRF 23 and 35 up to 0.12 of the bits differ, and the colours by up to
# 2.97 levels; at CRF 45 by 0.15 to 0.30 and 3.4 to 6.7: at 360 pixels it is found,
# at fewer not. Between its thirds 0.66 of the bits differ and more.
_APART = 0.2  # share of the bits of either print that differ, at most
_PATCHES = 8  # pixels of the small picture whose colours are compared
_LEVELS = 4.0  # by which these differ on average, at most, in every frame
_LEAST = 12  # bits that a frame has on average: plain pictures say nothing
_SLACK = 0.25  # seconds: encoding anew adds or drops a few frames

# The hash of a file, and the part of it that is the clip.
Key = tuple[str, tuple[float, float] | None]


@dataclasses.dataclass(frozen=True)
class Print:
  """What a clip looks like.

  Attributes:
    bits: of its frames one after the other.
    colours: uint8[frames, 8, 8, 3] as bytes.
    seconds: that it lasts; 0 of a picture.
  """

  bits: bytes
  colours: bytes
  seconds: float


def of_file(
  path: files.Path, cut: tuple[float, float] | None, seconds: float | None
) -> Print | None:
  """The print of a clip; None: it does not decode.

  Args:
    path: of a video, or a picture.
    cut: the part of the file that is the clip; None: all of it.
    seconds: that the file lasts; None: it is a picture.
  """
  try:
    if seconds is None:
      with Image.open(path) as picture:
        return _of_frames([np.asarray(picture.convert("RGB"))], 0.0)
    start, end = cut or (0.0, seconds)
    times = [start + place * (end - start) for place in _PLACES]
    frames = list(_frames_at(path, times))
  except (
    av.FFmpegError, OSError, ValueError, IndexError,
    Image.DecompressionBombError,
  ):  # fmt: skip
    return None
  if not frames:
    return None
  frames += frames[-1:] * (len(_PLACES) - len(frames))  # a short file's last
  return _of_frames(frames, round(end - start, 2))


def _of_frames(frames: Sequence[np.ndarray], seconds: float) -> Print:
  """The print of frames uint8[H, W, 3]."""
  return Print(
    b"".join(map(_bits, frames)), b"".join(map(_colours, frames)), seconds
  )


def _frames_at(path: files.Path, times: list[float]) -> Iterator[np.ndarray]:
  """Frames uint8[H, W, 3] at these seconds, which grow."""
  waiting = list(times)
  for second, frame in showing.frames(path, start=times[0]):
    while waiting and second >= waiting[0] - 1e-6:
      yield frame.to_ndarray(format="rgb24")
      waiting.pop(0)
    if not waiting:
      return


def _bits(pixels: np.ndarray) -> bytes:
  """The difference hash of a picture uint8[H, W, 3]."""
  grey = Image.fromarray(pixels).convert("L")
  small = grey.resize((_SIDE, _SIDE), Image.Resampling.BOX)
  levels = np.asarray(small, np.float32)
  across = np.diff(levels, axis=1) > _MARGIN
  down = np.diff(levels, axis=0) > _MARGIN
  return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes()


def _colours(pixels: np.ndarray) -> bytes:
  """A picture uint8[H, W, 3] made very small."""
  size = (_PATCHES, _PATCHES)
  small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
  return np.asarray(small).tobytes()


def alike(one: Sequence[Print], other: Sequence[Print]) -> list[list[int]]:
  """For each print of one list those of the other that look alike."""
  bits, lengths = _array(other), np.array([p.seconds for p in other])
  found = []
  for mine, row in zip(one, _array(one), strict=True):
    differ = np.bitwise_count(bits ^ row).sum(1)
    either = np.bitwise_count(bits | row).sum(1)
    near = (
      (np.abs(lengths - mine.seconds) <= _SLACK)
      & (either >= _LEAST * _frame_count(mine))
      & (differ <= _APART * either)
    )
    found.append(
      [i for i in np.flatnonzero(near).tolist() if _coloured(mine, other[i])]
    )
  return found


def _coloured(one: Print, other: Print) -> bool:
  """Whether the frames of two prints have the same colours."""
  centred = []
  for each in (one, other):
    levels = np.frombuffer(each.colours, np.uint8).astype(np.float32)
    frames = levels.reshape(-1, _PATCHES * _PATCHES, 3)
    centred.append(frames - frames.mean(1, keepdims=True))
  differ = np.abs(centred[0] - centred[1]).mean((1, 2))
  return bool(differ.max() <= _LEVELS)


def _frame_count(one: Print) -> int:
  return 1 if not one.seconds else len(_PLACES)


def _array(prints: Sequence[Print]) -> np.ndarray:
  """uint64[n, words] of prints with equally many frames."""
  size = -(-len(prints[0].bits) // 8) * 8 if prints else 0
  padded = b"".join(one.bits.ljust(size, b"\0") for one in prints)
  return np.frombuffer(padded, np.uint64).reshape(len(prints), -1)


def find(
  built: Sequence[items.Item],
  media: files.Path,
  log: files.Path,
  show: Callable[[str], object],
) -> dict[str, findings.Finding]:
  """Id -> finding, of the rows whose clip is nearly one of a later split.

  The row of the earlier split is the one that is found: a test row has no text
  that a person could accept.

  Args:
    built: rows with their splits.
    media: the folder of the source's files.
    log: where prints are kept.
    show: takes what is to be told.
  """
  owners = _owners(built)
  splits = {owner.split for owner, _ in owners.values()}
  if len(splits) < 2:
    return {}
  prints = _prints(owners, media, log)
  if unknown := len(owners) - len(prints):
    show(f"{unknown} clips were not compared: they do not decode")
  doubles: dict[Key, items.Item] = {}
  order = [split for split in tasks.SPLITS if split in splits]
  for (one, other), size in itertools.product(
    itertools.combinations(order, 2), {len(p.bits) for p in prints.values()}
  ):
    mine, others = (
      [k for k, p in prints.items()
       if owners[k][0].split == split and len(p.bits) == size]
      for split in (one, other)
    )  # fmt: skip
    found = alike([prints[k] for k in mine], [prints[k] for k in others])
    for key, near in zip(mine, found, strict=True):
      if near:
        doubles.setdefault(key, owners[others[near[0]]][0])
  told = {
    item.id: _finding(doubles[key])
    for item in built
    for key in _keys(item)
    if key in doubles
  }
  if told:
    show(f"{len(told)} rows have nearly the clip of a row of another split")
  return told


def _finding(other: items.Item) -> findings.Finding:
  return findings.Finding(
    CODE, findings.FLAG, f"nearly the clip of {other.id} ({other.split})"
  )


def _keys(item: items.Item) -> list[Key]:
  return [
    (facts.sha256, item.cut)
    for column, facts in item.media.items()
    if column.startswith(("video", "image"))
  ]


def _owners(
  built: Sequence[items.Item],
) -> dict[Key, tuple[items.Item, media_files.Facts]]:
  """What is looked at -> the first row that has it, and its file."""
  found: dict[Key, tuple[items.Item, media_files.Facts]] = {}
  for item in built:
    seen = [
      facts
      for column, facts in item.media.items()
      if column.startswith(("video", "image"))
    ]
    for key, facts in zip(_keys(item), seen, strict=True):
      found.setdefault(key, (item, facts))
  return found


def _prints(
  owners: dict[Key, tuple[items.Item, media_files.Facts]],
  media: files.Path,
  path: files.Path,
) -> dict[Key, Print]:
  """The prints of all clips that decode; each is made once."""
  log = lines.Log(path)
  # Lines of older versions hold no colours.
  made = {_logged(line): line for line in log.lines if "colours" in line}
  missing = [key for key in owners if key not in made]

  def make(key: Key) -> Print | None:
    item, facts = owners[key]
    return of_file(media / facts.path, item.cut, facts.seconds)

  # Decoders release the interpreter.
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    bar = tqdm.tqdm(
      pool.map(make, missing), "compare", len(missing), unit="clip",
      disable=None if missing else True,
    )  # fmt: skip
    for key, found in zip(missing, bar, strict=True):
      line = {
        "file": key[0],
        "cut": key[1],
        "bits": found.bits.hex() if found else None,
        "colours": found.colours.hex() if found else None,
        "seconds": found.seconds if found else None,
      }
      log.add(line)
      made[key] = line
  return {
    key: Print(
      bytes.fromhex(made[key]["bits"]),
      bytes.fromhex(made[key]["colours"]),
      made[key]["seconds"],
    )
    for key in owners
    if made[key]["bits"] is not None
  }


def _logged(line: dict) -> Key:
  return line["file"], tuple(line["cut"]) if line["cut"] else None

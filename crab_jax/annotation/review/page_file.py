"""The page of the review as one file, to be sent to somebody without a server.

Its rows and their clips, made small, are in it. What is decided stays in the
browser until it is saved as a file, which `merge` adds to the log.
"""

import base64
import hashlib
import io
import json
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import cutting
from crab_jax.annotation import lines
from crab_jax.annotation import truths
from crab_jax.annotation.review import reviews
from crab_jax.annotation.review import session as session_lib
from crab_jax.data import statuses
from crab_jax.data.media import pictures
from crab_jax.data.media import sound
from crab_jax.sound_files import soundfile

_PAGE = pathlib.Path(__file__).with_name("page.html")
_PLACE = '<script type="application/json" id="data"></script>'
_SIDE = 320  # pixels of a video or picture
_NAMED = 10  # refused decisions that are named


def write(
  session: session_lib.Session,
  path: files.Path,
  show: Callable[[str], object] = print,
) -> None:
  """Writes the page of what is to be reviewed.

  Raises:
    UserError: it cannot be written there.
  """
  shown, lost = [], 0
  for entry, row in zip(session.queue, session.shown(), strict=True):
    clips = _clips(entry)
    lost += len(entry["media"]) - len(clips)
    # The clips are parts already.
    shown.append({**row, "files": clips, "media": sorted(clips), "cut": None})
  found = {"rows": shown, "reasons": list(reviews.REASONS)}
  digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode())
  found["name"] = digest.hexdigest()[:16]
  # In a page "</script>" would end the data.
  text = json.dumps(found, ensure_ascii=False).replace("<", "\\u003c")
  page = _PAGE.read_text(encoding="utf-8")
  before, after = page.split(_PLACE)
  tag = _PLACE.removesuffix("</script>")
  try:
    files.write_text(path, f"{before}{tag}{text}</script>{after}")
  except OSError as error:
    raise errors.UserError(f"cannot write {path}: {error}") from error
  show(f"{len(shown)} drafts to review: {path}; send it, then --merge_reviews")
  if lost:
    show(f"{lost} of their media files do not decode and are not in it")


def _clips(entry: Mapping[str, Any]) -> dict[str, str]:
  """The media of a draft as addresses that hold the data."""
  made = {}
  for column, path in entry["media"].items():
    try:
      made[column] = _address(column, files.path(path), entry["cut"])
    except (truths.Unbuildable, statuses.RecordError):
      continue
  return made


def _address(column: str, path: files.Path, cut: list[float] | None) -> str:
  if column.startswith("video"):
    part = (cut[0], cut[1]) if cut else None
    return _data("video/mp4", cutting.small(path, _SIDE, part))
  if column.startswith("audio"):
    return _data("audio/mpeg", _mp3(path, cut))
  if column == "mask":
    return _picture(pictures.read_mask(path), "png")
  return _picture(pictures.read_image(path, _SIDE), "jpeg")


def _mp3(path: files.Path, cut: list[float] | None) -> bytes:
  wave = sound.read_audio(path).samples
  if cut:
    begin, end = (round(second * configs.SAMPLE_RATE) for second in cut)
    wave = wave[begin:end]
  buffer = io.BytesIO()
  soundfile.write(buffer, wave, configs.SAMPLE_RATE, format="MP3")
  return buffer.getvalue()


def _picture(pixels: np.ndarray, kind: str) -> str:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, kind)
  return _data(f"image/{kind}", buffer.getvalue())


def _data(kind: str, data: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def merge(
  session: session_lib.Session,
  out: files.Path,
  path: files.Path,
  show: Callable[[str], object] = print,
) -> None:
  """Adds the decisions of a file to the log; those that are there stay alone.

  Args:
    session: knows the drafts.
    out: the folder of the log.
    path: of the file that the page saved.
    show: takes what is to be told.

  Raises:
    UserError: there is no such file, or a line is no decision of the page.
  """
  said = _read(path)
  log = lines.Log(out / reviews.FILE)
  there = {_mark(line) for line in log.lines}
  new, refused = 0, []
  for decision in said:
    if _mark(decision) in there:
      continue
    if problem := session.problem(decision):
      refused.append(f"{decision['id']}: {problem}")
      continue
    there.add(_mark(decision))
    log.add(decision)
    new += 1
  known = len(said) - new - len(refused)
  show(f"{path}: {new} new decisions, {known} were there")
  if refused:
    named = "; ".join(refused[:_NAMED])
    show(f"{len(refused)} decisions are not taken: {named}")


_FIELDS = ("id", "hash", "verdict", "text", "reason", "reviewer")


def _read(path: files.Path) -> list[dict[str, Any]]:
  """The decisions of a file. Raises UserError."""
  try:
    text = path.read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f"cannot read {path}: {error}") from error
  found = []
  for number, line in enumerate(text.split("\n"), 1):
    if not line.strip():
      continue
    try:
      tree = json.loads(line)
      decision = {name: tree[name] for name in _FIELDS}
      decision["time"] = float(tree["time"])
    except (ValueError, LookupError, TypeError) as error:
      raise errors.UserError(
        f"{path} line {number} is no decision of the page: {error!r}"
      ) from None
    if not all(isinstance(decision[name], str) for name in _FIELDS):
      raise errors.UserError(
        f"{path} line {number} is no decision of the page: {line[:80]}"
      )
    found.append(decision)
  return found


def _mark(decision: Mapping[str, Any]) -> tuple:
  """What two lines of one decision share."""
  return tuple(decision.get(name) for name in (*_FIELDS, "time"))

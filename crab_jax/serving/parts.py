"""The content of a message -> its text and its media.

Nothing is read or fetched: a data: URI is decoded, another URL stays one.
"""

import base64
import binascii
import re
from typing import NamedTuple

from crab_jax.serving import asked
from crab_jax.serving import failures
from crab_jax.serving import fields

_KINDS = {"image_url": "image", "video_url": "video", "audio_url": "audio"}
_DATA_URI = re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?([^,]{0,200}),")
_LONGEST_SECONDS = 1e6


class Content(NamedTuple):
  """What one message holds."""

  text: str
  parts: tuple[asked.Part, ...]
  ignored: tuple[str, ...]


def read(message: fields.Object, remaining: int) -> Content:
  """The text, media and ignored keys of a message."""
  value = message.take("content")
  path = message.where("content")
  if value is None:
    return Content("", (), ())
  if isinstance(value, str):
    return Content(fields.as_text(value, path), (), ())
  if not isinstance(value, list):
    failures.invalid(
      "invalid_value", f"{path} must be a string or a list", path
    )
  if len(value) > remaining:
    failures.invalid("too_many_parts", f"{path} has too many parts", path)
  texts: list[str] = []
  parts: list[asked.Part] = []
  ignored: list[str] = []
  for index, item in enumerate(value):
    part = fields.as_object(item, f"{path}[{index}]")
    kind = part.text("type")
    if kind == "text":
      texts.append(part.text("text") or "")
    elif kind in _KINDS or kind in ("input_audio", "file"):
      parts.append(_part(part, kind))
    else:
      failures.invalid(
        "unsupported_part",
        f"{part.path}: parts are text, image_url, video_url, audio_url,"
        " input_audio and file",
        part.path,
      )
    ignored += map(part.where, part.remaining())
  return Content(
    "\n".join(text for text in texts if text), tuple(parts), tuple(ignored)
  )


def _part(part: fields.Object, kind: str) -> asked.Part:
  """A medium of a message."""
  value = part.take(kind)
  if isinstance(value, str) and kind in _KINDS:
    inner = fields.Object({"url": value}, part.path)
  else:
    inner = fields.as_object(value, part.where(kind))
  start, end = _cut(part, inner)
  if kind == "input_audio":
    inner.take("format")  # the content tells
    source = _audio(inner)
  elif kind == "file":
    inner.take("filename")
    source = _file(inner)
  else:
    inner.take("detail")
    source = _url(inner.text("url"), inner.where("url"))
  kinds = {**_KINDS, "input_audio": "audio"}
  return asked.Part(kinds.get(kind), source, start, end, part.path)


def _cut(
  part: fields.Object, inner: fields.Object
) -> tuple[float | None, float | None]:
  """`start` and `end` of a part, which may stand inside or beside its url."""
  found = []
  for name in ("start", "end"):
    values = [x.number(name, 0.0, _LONGEST_SECONDS) for x in (part, inner)]
    found.append(next((x for x in values if x is not None), None))
  start, end = found
  if end is not None and end <= (start or 0.0):
    failures.invalid(
      "invalid_value", "end must lie after start", part.where("end")
    )
  return start, end


def _audio(inner: fields.Object) -> asked.Source:
  data, path = inner.text("data"), inner.where("data")
  if data is None:
    failures.invalid("missing_value", f"{path} is required", path)
  if data.startswith("data:"):
    return _url(data, path)
  return asked.Source(data=_base64(data, path))


def _file(inner: fields.Object) -> asked.Source:
  file_id, data = inner.text("file_id"), inner.text("file_data")
  if (file_id is None) == (data is None):
    failures.invalid(
      "invalid_value",
      f"{inner.path} must have file_id or file_data",
      inner.path,
    )
  if file_id is not None:
    return asked.Source(file_id=file_id)
  assert data is not None  # one of the two is there
  path = inner.where("file_data")
  if data.startswith("data:"):
    return _url(data, path)
  return asked.Source(data=_base64(data, path))


def _url(url: str | None, path: str) -> asked.Source:
  """A data: URI decoded; another URL as it is."""
  if not url:
    failures.invalid("missing_value", f"{path} is required", path)
  if url[:5].lower() != "data:":
    if not url.startswith(("https://", "http://", "file://")):
      failures.invalid(
        "unsupported_url", f"{path} must be a data:, https: or file: URL", path
      )
    return asked.Source(url=url)
  head = _DATA_URI.match(url[:400])
  if head is None or not head[2].lower().endswith(";base64"):
    failures.invalid(
      "bad_media", f"{path}: a data: URL must be of base64", path
    )
  return asked.Source(data=_base64(url[head.end() :], path))


def _base64(text: str, path: str) -> bytes:
  try:
    data = base64.b64decode(text.encode("ascii"), validate=True)
  except (binascii.Error, UnicodeEncodeError):
    failures.invalid("bad_media", f"{path} is not base64", path)
  if not data:
    failures.invalid("bad_media", f"{path} is empty", path)
  return data

"""Masks as run lengths, as COCO writes them.

{"size": [height, width], "counts": ..}: the runs go down the columns and begin
with what is not the object. `counts` is a list of lengths, or text: five bits a
character from "0" on, the lowest first, the sixth bit says that more follow;
numbers are signed, and from the fourth on the difference to the last but one.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

_MOST_PIXELS = 1 << 26  # what a picture may have, too
_ZERO = 48  # of the characters
_MORE, _SIGN, _BITS = 0x20, 0x10, 5
_LONGEST = 13  # characters of a number of 64 bits


def decode(text: str) -> Bool[np.ndarray, "H W"]:
  """The mask that JSON text describes, True on the object.

  Raises:
    ValueError: it describes none.
  """
  try:
    value = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"it is no JSON: {error}") from None
  if not isinstance(value, dict) or not {"size", "counts"} <= {*value}:
    raise ValueError('it should be {"size": [height, width], "counts": ..}')
  high, wide = _size(value["size"])
  runs = _runs(value["counts"])
  if sum(runs) != high * wide:
    raise ValueError(
      f"its runs have {sum(runs)} pixels, {high} x {wide} are {high * wide}"
    )
  colours = np.arange(len(runs)) % 2 == 1
  return np.repeat(colours, runs).reshape(wide, high).T


def _size(value: Any) -> tuple[int, int]:
  if (
    not isinstance(value, list)
    or len(value) != 2
    or not all(type(side) is int and side > 0 for side in value)
    or value[0] * value[1] > _MOST_PIXELS
  ):
    raise ValueError(f"its size should be [height, width], got {value!r:.60}")
  return value[0], value[1]


def _runs(counts: Any) -> list[int]:
  """Lengths, none of which is negative or larger than a picture."""
  if isinstance(counts, str):
    counts = list(_numbers(counts))
    for index in range(3, len(counts)):
      counts[index] += counts[index - 2]
  if not isinstance(counts, list):
    raise ValueError("its counts should be a list of lengths, or text")
  for run in counts:
    if type(run) is not int or not 0 <= run <= _MOST_PIXELS:
      raise ValueError(f"its counts hold {run!r:.60}, which is no length")
  return counts


def _numbers(text: str) -> Iterator[int]:
  value, bits = 0, 0
  for sign in text:
    code = ord(sign) - _ZERO
    if not 0 <= code < 2 * _MORE or bits >= _LONGEST * _BITS:
      raise ValueError(f"its counts hold {sign!r}, or a number without end")
    value |= (code & (_MORE - 1)) << bits
    bits += _BITS
    if not code & _MORE:
      yield value - (1 << bits) if code & _SIGN else value
      value, bits = 0, 0
  if bits:
    raise ValueError("its counts end in the middle of a number")


def png(mask: Bool[np.ndarray, "H W"]) -> bytes:
  """A mask as a picture that is white on the object."""
  buffer = io.BytesIO()
  Image.fromarray(mask).convert("L").save(buffer, "PNG")
  return buffer.getvalue()

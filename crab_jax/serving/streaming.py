"""Tokens to text as they come, and text to server-sent events.

A piece of text is final: it never ends within a character, nor with what may
become a stop string, nor with white space that may be the last.
"""

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import NamedTuple

from crab_jax import files

DONE = b"data: [DONE]\n\n"
_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to
_SENTENCE_END = re.compile(r"[.!?]\s+|\n+")
_MARKS = re.compile(r"[<\[]")  # what an answer's form begins with


def event(value: object) -> bytes:
  """A JSON value as an event."""
  return b"data: " + files.json_line(value).rstrip(b"\n") + b"\n\n"


def comment(text: str) -> bytes:
  """A line that clients skip, and that keeps a connection alive."""
  return f": {text}\n\n".encode()


class Detokeniser:
  """The text of one answer, piece by piece.

  Args:
    decode: gives the text of token ids.
    stops: strings that end the answer.
  """

  def __init__(
    self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()
  ):
    self._decode, self._stops = decode, tuple(stops)
    self._ids: list[int] = []
    self._sent = 0  # characters of the text
    self.text = ""  # all of it that is certain
    self.stopped = False  # whether a stop string came

  @property
  def tokens(self) -> int:
    """How many there are."""
    return len(self._ids)

  def add(self, ids: Iterable[int]) -> str:
    """The text that is now certain, behind that of earlier calls."""
    if self.stopped:
      return ""
    self._ids += ids
    whole = self._decode(self._ids).lstrip()
    if self._cut_at_stop(whole):
      return self._rest()
    whole = whole.rstrip(_UNFINISHED)
    whole = whole[: len(whole) - self._held(whole)]
    self.text = whole.rstrip()
    return self._rest()

  def finish(self) -> str:
    """What was held back, at the end of the answer."""
    if not self.stopped:
      self.text = self._decode(self._ids).strip()
    return self._rest()

  def _rest(self) -> str:
    piece, self._sent = self.text[self._sent :], max(self._sent, len(self.text))
    return piece

  def _cut_at_stop(self, text: str) -> bool:
    places = [text.find(stop) for stop in self._stops if stop in text]
    if places:
      self.text, self.stopped = text[: min(places)].rstrip(), True
    return self.stopped

  def _held(self, text: str) -> int:
    """Characters at the end that may begin a stop string."""
    return max(
      (
        size
        for stop in self._stops
        for size in range(1, len(stop))
        if text.endswith(stop[:size])
      ),
      default=0,
    )


class Piece(NamedTuple):
  """A piece of an answer: of its reasoning, or of the answer itself."""

  text: str
  is_reasoning: bool


class Splitter:
  """Tells the reasoning apart from the answer while both arrive.

  Whole sentences before the first mark of an answer are reasoning; what is
  behind waits for the end, when the answer is known.

  Args:
    bare: gives the answer in a whole text.
  """

  def __init__(self, bare: Callable[[str], str]):
    self._bare = bare
    self._text, self._sent = "", 0

  def add(self, piece: str) -> list[Piece]:
    """The reasoning that is now certain."""
    self._text += piece
    mark = _MARKS.search(self._text)
    end = mark.start() if mark else len(self._text)
    ends = [m.end() for m in _SENTENCE_END.finditer(self._text, 0, end)]
    # Text that a full stop ends is the last sentence until more follows.
    ends = [x for x in ends if x < len(self._text)]
    return self._until(ends[-1] if ends else 0)

  def finish(self) -> list[Piece]:
    """The rest of the reasoning, and the answer."""
    answer = self._bare(self._text)
    start = max(self._text.rfind(answer), self._sent) if answer else self._sent
    pieces = self._until(start)
    return [*pieces, Piece(self._text[start:], False)]

  def _until(self, end: int) -> list[Piece]:
    piece = self._text[self._sent : end]
    self._sent = max(self._sent, end)
    return [Piece(piece, True)] if piece else []

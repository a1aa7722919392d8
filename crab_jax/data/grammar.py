"""What the conversations of an AV-LLM family are written with.

`conversation` and `tokenizer` work with any grammar; each family has one
(`paradigms.front`). It is data: strings, and which of them are special tokens.
"""

import dataclasses
from collections.abc import Mapping

from crab_jax.array_types import TokenKind

# Stands where what lies before and behind becomes ids apart, and becomes none
# itself (two private use characters).
CUT = "\ue001\ue002"


@dataclasses.dataclass(frozen=True)
class Grammar:
  """Special tokens, turns, clips, and where the answer lies.

  Attributes:
    special: the special tokens, in the order of their ids in a small
      vocabulary. A tokenizer must have them all.
    pad: fills rows up.
    end: ends an answer; the model learns to say it.
    placeholders: kind of a clip ("image", "video", "audio") -> the special
      token that is repeated for each of its tokens.
    boundaries: kind of a clip -> what stands before and behind it.
    turns: "system", "user", "assistant" -> what stands before and behind the
      body. What stands before the assistant's is also the generation header.
    answer: a special token or `CUT`, and the word behind it, after which
      everything up to `end` is supervised; the word may be empty.
    alternatives: of other language models in the same family: a tokenizer that
      lacks a special token of this grammar goes by the first that it fits.
  """

  special: tuple[str, ...]
  pad: str
  end: str
  placeholders: Mapping[str, str]
  boundaries: Mapping[str, tuple[str, str]]
  turns: Mapping[str, tuple[str, str]]
  answer: tuple[str, str]
  alternatives: tuple["Grammar", ...] = ()

  @property
  def kinds(self) -> dict[str, TokenKind]:
    """Placeholder -> the kind of its tokens."""
    return {
      token: TokenKind.AUDIO if kind == "audio" else TokenKind.VISION
      for kind, token in self.placeholders.items()
    }

  def turn(self, role: str, body: str) -> str:
    """A whole turn."""
    before, behind = self.turns[role]
    return f"{before}{body}{behind}"

  def clip(self, kind: str) -> str:
    """A clip: its placeholder between its boundaries."""
    before, behind = self.boundaries[kind]
    return f"{before}{self.placeholders[kind]}{behind}"

  def words(self, role: str) -> str:
    """What stands before the body of a turn, without special tokens."""
    return self._plain(self.turns[role][0])

  def clip_words(self) -> list[str]:
    """What stands before clips, without special tokens, where that is text."""
    words = (self._plain(before) for before, _ in self.boundaries.values())
    return [text for text in words if text]

  def _plain(self, text: str) -> str:
    for token in (*self.special, CUT):
      text = text.replace(token, "")
    return text

"""What a check finds, and what it knows of the row."""

import dataclasses
import re
from collections.abc import Iterator
from collections.abc import Mapping

from crab_jax.annotation import facts
from crab_jax.annotation import items
from crab_jax.annotation.checking import token_counts
from crab_jax.data import tasks

REWRITE = "rewrite"
FLAG = "flag"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’]?\s+")
_NEGATION = re.compile(
  r"\b(?:no|not|non|never|without|neither|nor|none|nothing|rather than|instead"
  r" of|unlike|absent|lacks?|lacking|excludes?|excluding|free of|cannot)\b"
  r"|n['’]t\b",
  re.IGNORECASE,
)
_BEFORE = 40  # characters before a word in which a negation counts


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that is wrong.

  Attributes:
    code: of the check.
    action: `REWRITE` or `FLAG`.
    reason: for the writer, and for who reviews.
    words: the words that it is about, as they stand in the text.
  """

  code: str
  action: str
  reason: str
  words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Notes:
  """What a teacher noted of a clip without knowing the label.

  Attributes:
    seen, heard: in its words.
    doubt: 0, none, to 3.
  """

  seen: str
  heard: str
  doubt: int = 0


@dataclasses.dataclass(frozen=True)
class Context:
  """What a check may look at beside the text.

  Attributes:
    item: the row.
    task: its row of the table of tasks.
    vocabulary: every class of the task.
    language: of `language.LANGUAGES`.
    notes: of the first pass, or None.
    count: tells the tokens of a text.
  """

  item: items.Item
  task: tasks.Task
  vocabulary: frozenset[str]
  language: str = "en"
  notes: Notes | None = None
  count: token_counts.Count = token_counts.about

  @property
  def labels(self) -> tuple[str, ...]:
    """The classes of the row, in words."""
    answer = self.item.truth.answer
    found = [event.label for event in answer.events]
    found += [name for name in (answer.label, self.item.truth.name) if name]
    return tuple(dict.fromkeys(self.item.spoken(name) for name in found))

  @property
  def told(self) -> str:
    """What the row says itself: its words are no inventions."""
    row = self.item.row
    return " ".join(
      (row.transcript, row.hint, row.question, row.expression, row.caption,
       *row.options, *self.labels)
    )  # fmt: skip

  @property
  def meta(self) -> Mapping:
    """Other columns of the row."""
    return self.item.row.meta


def sentences(text: str) -> list[str]:
  """The sentences of a text."""
  return [part for part in _SENTENCE_END.split(text.strip()) if part.strip()]


def named(name: str, text: str) -> Iterator[re.Match[str]]:
  """Where a class is named: its words, in singular or plural."""
  words = re.findall(r"\w+", facts.plain(name))
  if not words:
    return iter(())
  *front, last = map(re.escape, words)
  if last.endswith("s") and len(last) > 3:
    last = last[:-1] + "s?"
  # Asian scripts put no spaces between words.
  edge = r"\b" if name.isascii() else ""
  pattern = r"[\s_-]+".join([*front, rf"{last}(?:s|es)?"])
  return re.finditer(rf"{edge}{pattern}{edge}", text, re.IGNORECASE)


def negated(text: str, position: int) -> bool:
  """Whether a word is denied: a negation stands before it in its clause."""
  clause = re.split(r"[.;!?:]|, but ", text[:position])[-1]
  return _NEGATION.search(clause[-_BEFORE:]) is not None

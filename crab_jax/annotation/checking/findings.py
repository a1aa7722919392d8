"""What a check finds, and what it knows of the row."""

import dataclasses
import functools
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
  r" of|unlike|absent|lacks?|lacking|excludes?|excluding|free of|cannot|than)\b"
  r"|n['’]t\b",
  re.IGNORECASE,
)
_SHORTEST = 3  # letters of a part of a name
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
       *row.options, *self.labels,
       *(self.item.spoken(event.label) for event in self.item.beside))
    )  # fmt: skip

  @property
  def meta(self) -> Mapping:
    """Other columns of the row."""
    return self.item.row.meta


def sentences(text: str) -> list[str]:
  """The sentences of a text."""
  return [part for part in _SENTENCE_END.split(text.strip()) if part.strip()]


def spellings(name: str) -> list[str]:
  """A class, and the parts of one that is named twice: "violin, fiddle"."""
  parts = [part.strip() for part in name.split(",")]
  return [name, *(part for part in parts[: len(parts) * (len(parts) > 1)]
                  if len(part) >= _SHORTEST)]  # fmt: skip


def numbers(word: str) -> set[str]:
  """A word in singular and plural, as far as an "s" tells."""
  base = word[:-1] if word.endswith("s") and len(word) > 3 else word
  return {word, base, f"{base}s", f"{base}es"}


@functools.lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str] | None:
  """Finds a class; None: nothing in its name is a word."""
  parts = []
  for spelling in spellings(name):
    if words := re.findall(r"\w+", facts.plain(spelling)):
      last = "|".join(sorted(map(re.escape, numbers(words[-1])), reverse=True))
      front = "".join(f"{re.escape(word)}[\\s,_-]+" for word in words[:-1])
      # Asian scripts put no spaces between words.
      edge = r"\b" if spelling.isascii() else ""
      parts.append(f"{edge}{front}(?:{last}){edge}")
  return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def named(name: str, text: str) -> Iterator[re.Match[str]]:
  """Where a class is named: its words, in singular or plural."""
  pattern = _pattern(name)
  return pattern.finditer(text) if pattern else iter(())


def negated(text: str, position: int) -> bool:
  """Whether a word is denied: a negation stands before it in its clause."""
  clause = re.split(r"[.;!?:]|, but ", text[:position])[-1]
  return _NEGATION.search(clause[-_BEFORE:]) is not None

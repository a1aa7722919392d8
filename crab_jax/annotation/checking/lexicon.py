"""Which words name a class: its own, its parts, their synonyms.

`lexicon.json` holds words for one thing, a line each; the emotions have the
published table of the scorers.
"""

import dataclasses
import functools
import importlib.resources
import itertools
import json
import re
from collections.abc import Iterator
from collections.abc import Mapping

from crab_jax.annotation.checking import findings
from crab_jax.evaluation.reading import labels

_CODES = {"neu", "hap", "ang", "fea", "dis"}  # of CREMA-D: no words
_WORD = re.compile(r"[^\W_]+")
_GAP = re.compile(r"[\s,_-]+")  # between the words of one class


@functools.cache
def _lines() -> Mapping[str, tuple[str, ...]]:
  """Word without spaces -> the words of all lines that have it."""
  file = importlib.resources.files(__package__) / "lexicon.json"
  found: dict[str, tuple[str, ...]] = {}
  for line in json.loads(file.read_text(encoding="utf-8"))["groups"]:
    for word in line:
      name = labels.squashed(word)
      found[name] = (*found.get(name, ()), *line)
  return found


@functools.cache
def words(name: str, group: str | None = None) -> tuple[str, ...]:
  """What names a class, the name itself first.

  Args:
    name: of the class, as sentences say it.
    group: of the table of synonyms of its task.
  """
  own = findings.spellings(name)
  found = [*own, *labels.words(name, group)]
  for spelling in own:
    found += _lines().get(labels.squashed(spelling), ())
  return tuple(w for w in dict.fromkeys(found) if w not in _CODES or w == name)


@dataclasses.dataclass(frozen=True)
class _Index:
  """All words of all classes, as a text is searched for them.

  Attributes:
    spaced: first word -> (all words, the classes they name), longest first.
    unspaced: words of scripts without spaces -> the classes they name.
  """

  spaced: Mapping[str, list[tuple[tuple[str, ...], frozenset[str]]]]
  unspaced: Mapping[str, frozenset[str]]


@functools.lru_cache(maxsize=64)
def _index(vocabulary: frozenset[str], group: str | None) -> _Index:
  spaced: dict[tuple[str, ...], set[str]] = {}
  unspaced: dict[str, set[str]] = {}
  for name in vocabulary:
    for word in words(name, group):
      if not word.isascii():
        unspaced.setdefault(word, set()).add(name)
      elif parts := _WORD.findall(word.casefold()):
        for last in findings.numbers(parts[-1]):
          spaced.setdefault((*parts[:-1], last), set()).add(name)
  by_first: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = {}
  # The longest first: "church bell" is no "church".
  for phrase, classes in sorted(spaced.items(), key=lambda row: -len(row[0])):
    by_first.setdefault(phrase[0], []).append((phrase, frozenset(classes)))
  return _Index(by_first, {k: frozenset(v) for k, v in unspaced.items()})


def mentions(
  text: str, vocabulary: frozenset[str], group: str | None
) -> Iterator[tuple[int, int, frozenset[str]]]:
  """Where a text names a class: first and last position, all it may be.

  A pattern of all words takes 19 ms for a text and a hundred classes, this 0.1.

  Args:
    text: any.
    vocabulary: the classes.
    group: of the table of synonyms of their task.
  """
  index = _index(vocabulary, group)
  for word, classes in index.unspaced.items():
    for match in findings.named(word, text):
      yield match.start(), match.end(), classes
  said = list(_WORD.finditer(text))
  lower = [match[0].casefold() for match in said]
  at = 0
  while at < len(said):
    step = 1
    for parts, classes in index.spaced.get(lower[at], ()):
      last = at + len(parts) - 1
      if tuple(lower[at : last + 1]) == parts and all(
        _GAP.fullmatch(text, one.end(), other.start())
        for one, other in itertools.pairwise(said[at : last + 1])
      ):
        yield said[at].start(), said[last].end(), classes
        step = len(parts)
        break
    at += step

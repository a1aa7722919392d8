"""METEOR 1.5 of one reference, with its exact and stem stages.

The formula and the parameters are METEOR 1.5's for English. Of its four stages
two are missing, synonyms and paraphrases: they need WordNet and a table of 60
MB. `java_captions` runs the released program, which has all four.

Function words are, as METEOR's authors define them, those of a relative
frequency above 0.001. The list here is our own, of English as a whole (by the
package wordfreq 3.1); the released one is of news. On 150 pairs of captions
both lists give the same scores.

Reference: Denkowski and Lavie, "Meteor Universal", WMT 2014.
"""

import collections
import functools
from typing import Any
from typing import NamedTuple

import snowballstemmer

_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_EXACT, _STEM = 1.0, 0.6  # weight of a match, by its stage
_BEAM = 40  # partial alignments that are kept, as in the released program

_COMMON = """
a about after all also an and any are as at back be because been but by can
could do first for from get go good had has have he her him his how i if in
into is it its just know like make me more most much my new no not now of on
one only or other our out over people said see she so some than that the
their them then there these they think this time to two up us very want was
way we well were what when where which who will with would you your
"""
FUNCTION_WORDS = frozenset(_COMMON.split())


@functools.cache
def _stemmer() -> Any:
  return snowballstemmer.stemmer("english")


@functools.lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
  return _stemmer().stemWord(word)


class Alignment(NamedTuple):
  """Which words of a candidate match which of the reference.

  Attributes:
    pairs: (position in the candidate, position in the reference), in order.
    chunks: number of runs of pairs that are neighbours in both texts.
  """

  pairs: list[tuple[int, int]]
  chunks: int


class _Path(NamedTuple):
  """An alignment of the first words of the candidate; the smaller is better."""

  cost: int  # minus the matched words, exact ones twice
  chunks: int
  distance: int  # sum over the pairs of the difference of their positions
  used: int  # bit mask over the reference
  last: int  # position in the reference that the last word has, or _NONE
  pairs: tuple  # (i, j, the pairs before), or ()


_NONE = -2  # no position follows it


def align(reference: list[str], candidate: list[str]) -> Alignment:
  """The alignment with most words matched and, of those, fewest chunks.

  Words match that are equal or have the same stem. A beam search over the
  words of the candidate, exact while at most 40 partial alignments differ in
  what may follow them.
  """
  where = collections.defaultdict(list)
  for j, word in enumerate(reference):
    where[_stem(word)].append(j)
  stems = [_stem(word) for word in candidate]
  counts = collections.Counter(stems)
  paths = [_Path(0, 0, 0, 0, _NONE, ())]
  for i, stem in enumerate(stems):
    places = where.get(stem, [])
    grown: dict[tuple[int, int], _Path] = {}
    for path in paths:
      found = [
        _match(path, i, j, candidate[i] == reference[j])
        for j in places
        if not path.used >> j & 1
      ]
      # A word goes unmatched only where there are too few for all.
      if counts[stem] > len(places):
        found.append(path._replace(last=_NONE))
      for new in found:
        # What may follow depends on these two alone: the best is enough.
        key = new.used, new.last
        if key not in grown or new < grown[key]:
          grown[key] = new
    paths = sorted(grown.values())[:_BEAM]
  return Alignment(_listed(paths[0].pairs), paths[0].chunks)


def _match(path: _Path, i: int, j: int, exact: bool) -> _Path:
  """The path with word i of the candidate matched to word j."""
  return _Path(
    path.cost - (2 if exact else 1),
    path.chunks + (j != path.last + 1),
    path.distance + abs(i - j),
    path.used | 1 << j,
    j,
    (i, j, path.pairs),
  )


def _listed(pairs: tuple) -> list[tuple[int, int]]:
  """Pairs that each hold those before them, as a list."""
  found = []
  while pairs:
    i, j, pairs = pairs
    found.append((i, j))
  return found[::-1]


def _weight(word: str) -> float:
  """What a word counts in the length of a text: function words less."""
  return 1 - _DELTA if word in FUNCTION_WORDS else _DELTA


def meteor(reference: list[str], candidate: list[str]) -> float:
  """METEOR of a candidate, in [0, 1].

  F = P R / (0.85 P + 0.15 R) of the weighted shares of matched words, times
  1 - 0.6 (chunks / matches)^0.2; all words in one chunk have no penalty.
  """
  pairs, chunks = align(reference, candidate)
  if not pairs:
    return 0.0
  said = true = 0.0
  for i, j in pairs:
    stage = _EXACT if candidate[i] == reference[j] else _STEM
    said += stage * _weight(candidate[i])
    true += stage * _weight(reference[j])
  precision = said / sum(map(_weight, candidate))
  recall = true / sum(map(_weight, reference))
  mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
  whole = chunks == 1 and len(pairs) == len(candidate) == len(reference)
  fragments = 0.0 if whole else chunks / len(pairs)
  return mean * (1 - _GAMMA * fragments**_BETA)

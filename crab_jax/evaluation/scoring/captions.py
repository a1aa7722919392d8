"""Captions: BLEU-4, METEOR-exact, ROUGE-L, CIDEr-D and content words, no Java.

One reference a clip. Words are found by `words`, not by the PTB tokenizer of
cococaption (which needs Java): lower case, letters, digits and inner
apostrophes or hyphens, punctuation dropped. Of the same words BLEU-4, ROUGE-L
and CIDEr are those of cococaption (`pycocoevalcap`, which is not used itself:
most of it is Java archives); of a text they are close to them, as its words
may differ. The package rouge-score is not the standard here: its ROUGE-L
weighs recall as precision, cococaption's does not.
"""

import collections
import dataclasses
import math
import re

import numpy as np

ORDER = 4  # longest n-gram
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ROUGE_BETA = 1.2  # weight of recall in ROUGE-L, as in cococaption
_SIGMA = 6.0  # words; of the length penalty of CIDEr-D
_COMMON = 0.5  # a word of more than this share of references is no content


def words(text: str) -> list[str]:
  """The words of a text in lower case."""
  return _WORD.findall(text.lower())


def _ngrams(tokens: list[str], n: int) -> collections.Counter:
  return collections.Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def bleu4(references: list[list[str]], candidates: list[list[str]]) -> float:
  """Corpus BLEU with n-grams up to 4 and the brevity penalty, no smoothing.

  Reference: Papineni et al., ACL 2002.
  """
  hits, totals = np.zeros(ORDER), np.zeros(ORDER)
  for reference, candidate in zip(references, candidates, strict=True):
    for n in range(1, ORDER + 1):
      said, true = _ngrams(candidate, n), _ngrams(reference, n)
      hits[n - 1] += sum((said & true).values())
      totals[n - 1] += sum(said.values())
  if not hits.all():
    return 0.0
  length, wanted = sum(map(len, candidates)), sum(map(len, references))
  penalty = min(0.0, 1 - wanted / length)
  return float(np.exp(np.mean(np.log(hits / totals)) + penalty))


def rouge_l(reference: list[str], candidate: list[str]) -> float:
  """F of the longest common subsequence, recall weighted with beta = 1.2.

  (1 + b^2) P R / (R + b^2 P). Reference: Lin, 2004, as in cococaption.
  """
  if not reference or not candidate:
    return 0.0
  common = lcs(reference, candidate)
  if not common:
    return 0.0
  precision, recall = common / len(candidate), common / len(reference)
  beta2 = _ROUGE_BETA**2
  return (1 + beta2) * precision * recall / (recall + beta2 * precision)


def lcs(first: list[str], second: list[str]) -> int:
  """Length of the longest common subsequence.

  Bit-parallel: a row of the table is one integer with a bit a word of
  `first`. Reference: Hyyro, "Bit-parallel LCS-length computation", 2004.
  """
  where: dict[str, int] = collections.defaultdict(int)
  for i, word in enumerate(first):
    where[word] |= 1 << i
  full = (1 << len(first)) - 1
  row = full
  for word in second:
    matched = row & where.get(word, 0)
    row = ((row + matched) | (row - matched)) & full
  return len(first) - row.bit_count()


def meteor_exact(reference: list[str], candidate: list[str]) -> float:
  """METEOR with its exact-match stage only: the stated substitute.

  F = 10 P R / (R + 9 P) over matched words, times 1 - 0.5 (chunks/matches)^3.
  Each word of the candidate takes, from left to right, the reference position
  that follows the last match where it can, else the first free one. No stems,
  synonyms or paraphrases, so scores lie below METEOR's.

  Reference: Banerjee and Lavie, ACL workshop 2005.
  """
  free = collections.defaultdict(list)  # word -> its positions, last first
  for i in reversed(range(len(reference))):
    free[reference[i]].append(i)
  matches = chunks = 0
  last = -2
  for word in candidate:
    positions = free.get(word)
    if not positions:
      last = -2
      continue
    follows = last + 1 < len(reference) and reference[last + 1] == word
    # The next position continues a chunk, and fewer chunks score higher.
    position = last + 1 if follows and last + 1 in positions else positions[-1]
    positions.remove(position)
    matches += 1
    chunks += position != last + 1
    last = position
  if not matches:
    return 0.0
  precision, recall = matches / len(candidate), matches / len(reference)
  mean = 10 * precision * recall / (recall + 9 * precision)
  return mean * (1 - 0.5 * (chunks / matches) ** 3)


class Cider:
  """CIDEr-D against the references of one set, 0 to 10 a caption.

  10 times the mean over n = 1..4 of the cosine of tf-idf vectors of n-grams,
  the candidate's counts clipped to the reference's, times a Gaussian penalty
  (sigma 6) of the difference in length. The document frequencies are those
  of the references, a clip a document: the value depends on the whole set,
  and an n-gram in all references weighs nothing. A caption equal to its
  reference scores 10 even where that weighs nothing (cococaption: 0).

  Reference: arXiv 1411.5726; what cococaption prints as "CIDEr".
  """

  def __init__(self, references: list[list[str]]):
    self._references = references
    self._unseen = math.log(max(len(references), 1))
    grams = [_all_ngrams(tokens) for tokens in references]
    frequency = collections.Counter(gram for count in grams for gram in count)
    self._idf = {
      gram: self._unseen - math.log(count) for gram, count in frequency.items()
    }
    self._vectors = [self._vector(count) for count in grams]
    self._norms = [_norms(vector) for vector in self._vectors]

  def _vector(self, count: collections.Counter) -> dict[tuple, float]:
    """tf-idf; an n-gram that no reference has weighs as one seen once."""
    return {
      gram: number * self._idf.get(gram, self._unseen)
      for gram, number in count.items()
    }

  def weigh(self, candidate: list[str]) -> "Weighed":
    """A candidate's vector: the same for every clip that it is said of."""
    vector = self._vector(_all_ngrams(candidate))
    return Weighed(candidate, vector, _norms(vector))

  def score(self, i: int, candidate: "Weighed") -> float:
    """CIDEr-D of a candidate for clip i."""
    if candidate.words == self._references[i]:
      return 10.0
    true = self._vectors[i]
    products = [0.0] * ORDER
    for gram, weight in candidate.vector.items():
      if gram in true:
        products[len(gram) - 1] += min(weight, true[gram]) * true[gram]
    cosines = sum(
      product / (norm * other)
      for product, norm, other in zip(
        products, self._norms[i], candidate.norms, strict=True
      )
      if product
    )
    gap = len(candidate.words) - len(self._references[i])
    return 10 * cosines / ORDER * math.exp(-(gap**2) / (2 * _SIGMA**2))


@dataclasses.dataclass(frozen=True)
class Weighed:
  """A candidate caption with its tf-idf vector, of `Cider.weigh`."""

  words: list[str]
  vector: dict[tuple, float]
  norms: list[float]  # of each order


def _all_ngrams(tokens: list[str]) -> collections.Counter:
  """The n-grams of orders 1 to 4, tuples of as many words."""
  return collections.Counter(
    gram
    for n in range(1, ORDER + 1)
    for gram in zip(*(tokens[i:] for i in range(n)), strict=False)
  )


def _norms(vector: dict[tuple, float]) -> list[float]:
  """The Euclidean norm of the part of each order."""
  squares = [0.0] * ORDER
  for gram, weight in vector.items():
    squares[len(gram) - 1] += weight * weight
  return [math.sqrt(square) for square in squares]


def common_words(references: list[list[str]]) -> set[str]:
  """The words of more than half of the references: they say nothing."""
  count = collections.Counter(w for tokens in references for w in {*tokens})
  return {w for w, n in count.items() if n > _COMMON * len(references)}


def content_f1(
  reference: list[str], candidate: list[str], common: set[str]
) -> float:
  """F1 of the sets of words that are not common; 1 if both are empty.

  A simple measure of ours, not one of the literature: word order, repeats
  and the phrases that all references share do not count.
  """
  true, said = {*reference} - common, {*candidate} - common
  if not true and not said:
    return 1.0
  return 2 * len(true & said) / (len(true) + len(said))

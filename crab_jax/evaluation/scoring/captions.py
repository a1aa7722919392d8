"""Captions: BLEU, ROUGE-L, CIDEr-D and content words, no Java.

One reference a clip. Words are found by `words`, not by the PTB tokenizer of
cococaption (which needs Java, `java_captions`): lower case, letters, digits and
inner apostrophes or hyphens, punctuation dropped. Of the same words BLEU,
ROUGE-L and CIDEr are those of cococaption (`pycocoevalcap`: most of it is Java
archives); of a text they are close to them, as its words may differ. The package
rouge-score is not the standard here: its ROUGE-L weighs recall as precision,
cococaption's does not. METEOR has a module of its own.
"""

import collections
import dataclasses
import math
import re

ORDER = 4  # longest n-gram
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ROUGE_BETA = 1.2  # weight of recall in ROUGE-L, as in cococaption
# Added by cococaption to counts, so that an order without a hit is not 0.
_TINY, _SMALL = 1e-15, 1e-9
_SIGMA = 6.0  # pairs of words; of the length penalty of CIDEr-D
_COMMON = 0.5  # a word of more than this share of references is no content


def words(text: str) -> list[str]:
  """The words of a text in lower case."""
  return _WORD.findall(text.lower())


def _ngrams(tokens: list[str], n: int) -> collections.Counter:
  return collections.Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def bleu(
  references: list[list[str]], candidates: list[list[str]]
) -> list[float]:
  """Corpus BLEU-1 to BLEU-4 with the brevity penalty.

  Reference: Papineni et al., ACL 2002; with cococaption's constants in the
  shares of matched n-grams, whose geometric mean is else 0 for one empty order.
  """
  product, means = 1.0, []
  pairs = list(zip(references, candidates, strict=True))
  for n in range(1, ORDER + 1):
    hits = sum((_ngrams(c, n) & _ngrams(r, n)).total() for r, c in pairs)
    total = sum(max(len(c) - n + 1, 0) for _, c in pairs)
    product *= (hits + _TINY) / (total + _SMALL)
    means.append(product ** (1 / n))
  said, wanted = sum(map(len, candidates)), sum(map(len, references))
  ratio = (said + _TINY) / (wanted + _SMALL)
  penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
  return [mean * penalty for mean in means]


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


class Cider:
  """CIDEr-D against the references of one set, 0 to 10 a caption.

  10 times the mean over n = 1..4 of the cosine of tf-idf vectors of n-grams,
  the candidate's counts clipped to the reference's, times a Gaussian penalty
  (sigma 6) of the difference in length. The document frequencies are those
  of the references, a clip a document: the value depends on the whole set,
  and an n-gram in all references weighs nothing. So a caption equal to its
  reference scores 10 only if some n-gram of each order weighs: one of two
  words scores 5 at best.

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
    true = self._vectors[i]
    products = [0.0] * ORDER
    for gram, weight in candidate.vector.items():
      if gram in true:
        # The D of CIDEr-D: a word said ten times counts as often as it is true.
        products[len(gram) - 1] += min(weight, true[gram]) * true[gram]
    cosines = sum(
      product / (norm * other)
      for product, norm, other in zip(
        products, self._norms[i], candidate.norms, strict=True
      )
      if product
    )
    gap = _pairs(candidate.words) - _pairs(self._references[i])
    return 10 * cosines / ORDER * math.exp(-(gap**2) / (2 * _SIGMA**2))


def _pairs(tokens: list[str]) -> int:
  """The length of a caption in CIDEr-D's code: its pairs of words."""
  return max(len(tokens) - 1, 0)


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

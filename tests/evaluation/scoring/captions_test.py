"""Caption metrics, worked by hand."""

import functools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.scoring import captions

TRUE, SAID = list("abcde"), list("abcdf")


def test_words():
  text = "A man's red-hot saxophone (loud), plays; ÉTÉ!"
  expected = ["a", "man's", "red-hot", "saxophone", "loud", "plays", "été"]
  assert captions.words(text) == expected
  assert captions.words("... !") == []


def test_bleu_golden():
  # Precisions 4/5, 3/4, 2/3, 1/2; equal lengths.
  bleu = captions.bleu4([TRUE], [SAID])
  assert bleu == pytest.approx(0.2**0.25, abs=1e-9)
  # Shorter by one word: all precisions 1, penalty exp(1 - 5/4).
  short = captions.bleu4([TRUE], [TRUE[:4]])
  assert short == pytest.approx(np.exp(-0.25), abs=1e-9)
  assert captions.bleu4([TRUE], [[]]) == 0
  assert captions.bleu4([TRUE], [TRUE[:3]]) == 0  # no four-gram


def test_rouge_l_golden():
  assert captions.rouge_l(TRUE, SAID) == pytest.approx(0.8, abs=1e-9)
  # Common 2 of 5 and 2 of 2: 2.44 * 1 * 0.4 / (0.4 + 1.44 * 1).
  rouge = captions.rouge_l(TRUE, ["b", "d"])
  assert rouge == pytest.approx(2.44 * 0.4 / 1.84, abs=1e-9)
  assert captions.rouge_l(TRUE, []) == captions.rouge_l(TRUE, ["z"]) == 0


def test_meteor_exact_golden():
  # 4 matches in one chunk; P = R = F = 4/5; penalty 1/2 (1/4)^3.
  meteor = captions.meteor_exact(TRUE, SAID)
  assert meteor == pytest.approx(0.8 * (1 - 1 / 128), abs=1e-9)
  # "a b" "d e" in the wrong order: 4 matches, 2 chunks, P 1, R 4/5.
  meteor = captions.meteor_exact(TRUE, list("deab"))
  mean = 10 * 0.8 / (0.8 + 9)
  assert meteor == pytest.approx(mean * (1 - 0.5 / 8), abs=1e-9)
  assert captions.meteor_exact(TRUE, ["z"]) == 0


def test_meteor_prefers_to_go_on():
  # "a" occurs twice; "a b" of the candidate is one chunk, the second one.
  meteor = captions.meteor_exact(list("axab"), list("xab"))
  precision, recall = 1, 3 / 4
  mean = 10 * precision * recall / (recall + 9 * precision)
  assert meteor == pytest.approx(mean * (1 - 0.5 / 27), abs=1e-9)


def test_cider_golden():
  cider = captions.Cider([list("abcd"), list("efgh")])
  said = cider.weigh(list("abce"))
  # Every n-gram is in one of two clips, or unseen: all weigh log 2. Hits: 3
  # of 4 words, 2 of 3 pairs, 1 of 2 triples, none of the fours.
  expected = 10 * (3 / 4 + 2 / 3 + 1 / 2) / 4
  assert cider.score(0, said) == pytest.approx(expected, abs=1e-9)
  assert cider.score(0, cider.weigh(list("abcd"))) == 10
  # Two words longer, all else unseen: the cosines shrink, and the penalty.
  longer = cider.score(0, cider.weigh(list("abcdxy")))
  cosine = sum(
    hits / np.sqrt(hits * more)
    for hits, more in ((4, 6), (3, 5), (2, 4), (1, 3))
  )
  penalty = np.exp(-4 / 72)
  assert longer == pytest.approx(10 * cosine / 4 * penalty, abs=1e-9)


def test_cider_clips_repeats_and_ignores_what_all_say():
  cider = captions.Cider([["a", "b"], ["a", "c"]])
  # "a" weighs nothing. "b b" has the vector 2 log 2, clipped to log 2: the
  # words' cosine is (1 * 1) / (1 * 2). No pair is common.
  score = cider.score(0, cider.weigh(["b", "b"]))
  assert score == pytest.approx(10 * 0.5 / 4, abs=1e-9)
  assert cider.score(0, cider.weigh(["a"])) == 0


def test_content_f1():
  references = [list("abx"), list("acx"), list("adx")]
  common = captions.common_words(references)
  assert common == {"a", "x"}
  assert captions.content_f1(list("abx"), list("axb"), common) == 1
  assert captions.content_f1(list("abx"), list("abz"), common) == 2 / 3
  assert captions.content_f1(list("ax"), list("xa"), common) == 1


WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def _plain_lcs(first, second):
  @functools.cache
  def length(i, j):
    if not i or not j:
      return 0
    if first[i - 1] == second[j - 1]:
      return length(i - 1, j - 1) + 1
    return max(length(i - 1, j), length(i, j - 1))

  return length(len(first), len(second))


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(WORDS, WORDS)
def test_bit_parallel_lcs_is_the_plain_one(first, second):
  assert captions.lcs(first, second) == _plain_lcs(first, second)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.lists(WORDS.filter(bool), min_size=1, max_size=4), WORDS)
def test_all_are_shares_and_perfect_is_best(references, said):
  cider = captions.Cider(references)
  true = references[0]
  for metric in (captions.rouge_l, captions.meteor_exact):
    assert 0 <= metric(true, said) <= metric(true, true) + 1e-12
  assert 0 <= cider.score(0, cider.weigh(said)) <= 10 + 1e-9
  assert cider.score(0, cider.weigh(true)) == 10
  assert captions.rouge_l(true, true) == 1


def test_the_same_words_score_as_in_cococaption():
  """Numbers of pycocoevalcap 1.2 for the same words."""
  pairs = [
    (
      "a red dog runs fast over the wet grass",
      "a red dog runs over the green grass",
    ),
    (
      "a man plays a loud guitar while a crowd claps",
      "a man plays the guitar and people clap",
    ),
    (
      "two birds sing in a tall tree near the road",
      "two birds are singing in a tree",
    ),
    (
      "a red car drives down the road in the rain",
      "a red car drives down the road in the rain at night",
    ),
    ("waves break on the beach and the wind blows", "the wind blows"),
  ]
  true, said = (
    [text.split() for text in texts] for texts in zip(*pairs, strict=True)
  )
  bleu = captions.bleu4(true, said)
  assert bleu == pytest.approx(0.38884080667392973, abs=1e-9)
  rouge = [captions.rouge_l(t, s) for t, s in zip(true, said, strict=True)]
  assert rouge == pytest.approx(
    [
      0.8148854961832059,
      0.43571428571428567,
      0.5700934579439253,
      0.9242424242424241,
      0.45864661654135336,
    ],
    abs=1e-9,
  )
  weighed = captions.Cider(true)
  cider = [weighed.score(i, weighed.weigh(s)) for i, s in enumerate(said)]
  assert cider == pytest.approx(
    [
      4.256639296375346,
      2.0359691407759177,
      1.8583849120926843,
      8.309017045161383,
      2.1489518324009387,
    ],
    abs=1e-9,
  )


CORPUS = st.lists(
  st.tuples(st.lists(st.sampled_from("abcd"), min_size=4, max_size=9), WORDS),
  min_size=1,
  max_size=4,
)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CORPUS, st.randoms())
def test_bleu_is_a_share_in_any_order(pairs, random):
  true, said = zip(*pairs, strict=True)
  bleu = captions.bleu4(true, said)
  assert 0 <= bleu <= 1
  shuffled = zip(*random.sample(pairs, len(pairs)), strict=True)
  assert captions.bleu4(*shuffled) == pytest.approx(bleu, abs=1e-12)
  assert captions.bleu4(true, true) == pytest.approx(1, abs=1e-12)
  assert captions.bleu4(true, [[]] * len(true)) == 0


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(WORDS.filter(bool), WORDS, st.randoms())
def test_content_is_a_set_and_a_right_word_never_lowers_it(true, said, random):
  f1 = captions.content_f1(true, said, set())
  assert 0 <= f1 <= 1
  shuffled = random.sample(said, len(said))
  assert captions.content_f1(true, shuffled, set()) == f1
  assert captions.content_f1(true, [*said, true[0]], set()) >= f1
  assert captions.content_f1(true, true, set()) == 1
  assert captions.content_f1(true, [], set()) == 0


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(WORDS.filter(bool), st.data())
def test_more_of_the_reference_never_lowers_the_overlap(true, data):
  """Of a caption that is a beginning of the reference."""
  upto = data.draw(st.integers(0, len(true) - 1))
  for metric in (captions.rouge_l, captions.meteor_exact):
    assert metric(true, true[:upto]) <= metric(true, true[: upto + 1]) + 1e-12
  assert captions.meteor_exact(true, []) == captions.rouge_l(true, []) == 0

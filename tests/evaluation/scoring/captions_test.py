"""Caption metrics, by hand and against cococaption."""

import functools
import json
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.scoring import captions

TRUE, SAID = list("abcde"), list("abcdf")
_FOLDER = pathlib.Path(__file__).parent
_SETS = json.loads((_FOLDER / "caption_sets_golden.json").read_text())["sets"]


def test_words():
  text = "A man's red-hot saxophone (loud), plays; ÉTÉ!"
  expected = ["a", "man's", "red-hot", "saxophone", "loud", "plays", "été"]
  assert captions.words(text) == expected
  assert captions.words("... !") == []


def test_bleu_golden():
  # Precisions 4/5, 3/4, 2/3, 1/2; equal lengths.
  bleu = captions.bleu([TRUE], [SAID])
  shares = np.cumprod([4 / 5, 3 / 4, 2 / 3, 1 / 2])
  assert bleu == pytest.approx(shares ** (1 / np.arange(1, 5)), abs=1e-9)
  # Shorter by one word: all precisions 1, penalty exp(1 - 5/4).
  short = captions.bleu([TRUE], [TRUE[:4]])
  assert short == pytest.approx([np.exp(-0.25)] * 4, abs=1e-9)
  assert captions.bleu([TRUE], [[]]) == [0] * 4
  # No four-gram: cococaption has a share of 1e-15 / 1e-9 for it.
  none = captions.bleu([TRUE], [TRUE[:3]])[3]
  assert none == pytest.approx(1e-6**0.25 * np.exp(1 - 5 / 3), abs=1e-9)


def test_rouge_l_golden():
  assert captions.rouge_l(TRUE, SAID) == pytest.approx(0.8, abs=1e-9)
  # Common 2 of 5 and 2 of 2: 2.44 * 1 * 0.4 / (0.4 + 1.44 * 1).
  rouge = captions.rouge_l(TRUE, ["b", "d"])
  assert rouge == pytest.approx(2.44 * 0.4 / 1.84, abs=1e-9)
  assert captions.rouge_l(TRUE, []) == captions.rouge_l(TRUE, ["z"]) == 0


def test_cider_golden():
  cider = captions.Cider([list("abcd"), list("efgh")])
  said = cider.weigh(list("abce"))
  # Every n-gram is in one of two clips, or unseen: all weigh log 2. Hits: 3
  # of 4 words, 2 of 3 pairs, 1 of 2 triples, none of the fours.
  expected = 10 * (3 / 4 + 2 / 3 + 1 / 2) / 4
  assert cider.score(0, said) == pytest.approx(expected, abs=1e-9)
  same = cider.score(0, cider.weigh(list("abcd")))
  assert same == pytest.approx(10, abs=1e-9)
  # Two words longer, all else unseen: the cosines shrink, and the penalty.
  longer = cider.score(0, cider.weigh(list("abcdxy")))
  cosine = sum(
    hits / np.sqrt(hits * more)
    for hits, more in ((4, 6), (3, 5), (2, 4), (1, 3))
  )
  penalty = np.exp(-4 / 72)
  assert longer == pytest.approx(10 * cosine / 4 * penalty, abs=1e-9)


@pytest.mark.parametrize(
  ("caption", "value"),
  [("birds", 2.5), ("dog barks", 5), ("a dog barks", 7.5), ("a a a a", 10)],
)
def test_cider_of_the_reference_itself_counts_the_orders_it_has(caption, value):
  others = ["rain falls on it", "wind blows", "bells"]
  cider = captions.Cider([text.split() for text in (caption, *others)])
  said = cider.weigh(caption.split())
  assert cider.score(0, said) == pytest.approx(value, abs=1e-9)


def test_cider_of_what_all_references_say_is_nothing():
  cider = captions.Cider([["dog", "barks"]] * 3)
  assert cider.score(0, cider.weigh(["dog", "barks"])) == 0
  alone = captions.Cider([TRUE])
  assert alone.score(0, alone.weigh(TRUE)) == 0


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
  assert 0 <= captions.rouge_l(true, said) <= 1
  assert captions.rouge_l(true, true) == 1
  same = cider.score(0, cider.weigh(true))
  assert 0 <= cider.score(0, cider.weigh(said)) <= 10 + 1e-9
  # Of each order that weighs anything the reference itself has the cosine 1.
  norms = cider.weigh(true).norms
  assert same == pytest.approx(2.5 * sum(norm > 0 for norm in norms), abs=1e-9)


@pytest.mark.parametrize("case", _SETS)
def test_the_same_words_score_as_in_cococaption(case):
  true, said = (
    [text.split() for text in case[name]]
    for name in ("references", "hypotheses")
  )
  assert captions.bleu(true, said) == pytest.approx(case["bleu"], abs=1e-9)
  rouge = [captions.rouge_l(t, s) for t, s in zip(true, said, strict=True)]
  assert rouge == pytest.approx(case["rouge_l"], abs=1e-9)
  weighed = captions.Cider(true)
  cider = [weighed.score(i, weighed.weigh(s)) for i, s in enumerate(said)]
  assert cider == pytest.approx(case["cider"], abs=1e-9)


def test_a_corpus_of_tokens_scores_as_in_cococaption():
  golden = json.loads((_FOLDER / "captions_golden.json").read_text())
  true, said = (
    [pair["tokens"][i].split() for pair in golden["pairs"]] for i in (0, 1)
  )
  assert captions.bleu(true, said) == pytest.approx(golden["bleu"], abs=1e-9)
  rouge = [captions.rouge_l(t, s) for t, s in zip(true, said, strict=True)]
  assert np.mean(rouge) == pytest.approx(golden["rouge_l"], abs=1e-9)
  weighed = captions.Cider(true)
  cider = [weighed.score(i, weighed.weigh(s)) for i, s in enumerate(said)]
  assert np.mean(cider) == pytest.approx(golden["cider"], abs=1e-9)


CORPUS = st.lists(
  st.tuples(st.lists(st.sampled_from("abcd"), min_size=4, max_size=9), WORDS),
  min_size=1,
  max_size=4,
)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CORPUS, st.randoms())
def test_bleu_is_a_share_in_any_order(pairs, random):
  true, said = zip(*pairs, strict=True)
  bleu = captions.bleu(true, said)
  assert all(0 <= value <= 1 for value in bleu)
  shuffled = zip(*random.sample(pairs, len(pairs)), strict=True)
  assert captions.bleu(*shuffled) == pytest.approx(bleu, abs=1e-12)
  # The constants in the shares, 1e-9, keep it from 1 itself.
  assert captions.bleu(true, true) == pytest.approx([1] * 4, abs=2e-9)
  assert captions.bleu(true, [[]] * len(true)) == [0] * 4


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
  before, after = (captions.rouge_l(true, true[:n]) for n in (upto, upto + 1))
  assert before <= after + 1e-12
  assert captions.rouge_l(true, []) == 0

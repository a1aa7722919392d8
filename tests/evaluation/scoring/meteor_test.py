"""METEOR: its alignment, its formula, and the released program."""

import itertools
import json
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.scoring import captions
from crab_jax.evaluation.scoring import meteor

_GOLDEN = pathlib.Path(__file__).parent / "captions_golden.json"
_PAIRS = json.loads(_GOLDEN.read_text())["pairs"]


@pytest.mark.parametrize(
  ("reference", "candidate", "pairs", "chunks"),
  [
    # From left to right "b" would take the first one, and all be apart.
    ("b d b", "b b d", [(0, 2), (1, 0), (2, 1)], 2),
    ("a x a b", "x a b", [(0, 1), (1, 2), (2, 3)], 1),
    ("a b", "b a", [(0, 1), (1, 0)], 2),
    ("a b c", "a z c", [(0, 0), (2, 2)], 2),
    # An equal word before one of the same stem.
    ("dog dogs", "dogs", [(0, 1)], 1),
    ("dog", "dogs dog", [(1, 0)], 1),
    ("a dog", "birds", [], 0),
  ],
)
def test_alignment(reference, candidate, pairs, chunks):
  found = meteor.align(reference.split(), candidate.split())
  assert found == (pairs, chunks)


def test_formula():
  # All content words; 4 of 5 match in one chunk: P = R = F = 4/5.
  value = meteor.meteor(list("vwxyz"), list("vwxyq"))
  assert value == pytest.approx(0.8 * (1 - 0.6 * (1 / 4) ** 0.2), abs=1e-9)
  # P = 1, R = 1/2 of two words; one chunk of one match.
  value = meteor.meteor(["dogs", "bark"], ["dogs"])
  mean = 0.5 / (0.85 + 0.15 * 0.5)
  assert value == pytest.approx(mean * 0.4, abs=1e-9)


def test_a_stem_counts_less_and_so_does_a_function_word():
  # The whole reference in one chunk has no penalty: the stem's weight is left.
  assert meteor.meteor(["dogs"], ["dog"]) == pytest.approx(0.6, abs=1e-9)
  # Content 0.75, function 0.25: half of the words are 3/4 of the length.
  value = meteor.meteor(["the", "dog"], ["the", "cat"])
  assert value == pytest.approx(0.25 * 0.4, abs=1e-9)
  value = meteor.meteor(["the", "dog"], ["a", "dog"])
  assert value == pytest.approx(0.75 * 0.4, abs=1e-9)


@pytest.mark.parametrize("own_words", [False, True])
def test_it_is_near_the_released_program(own_words):
  """Which has synonyms and paraphrases besides, and so lies above."""
  texts = [
    [captions.words(pair["reference"]), captions.words(pair["hypothesis"])]
    if own_words
    else [text.split() for text in pair["tokens"]]
    for pair in _PAIRS
  ]
  ours = np.array([meteor.meteor(true, said) for true, said in texts])
  theirs = np.array([pair["meteor"] for pair in _PAIRS])
  assert abs(ours.mean() - theirs.mean()) <= 0.03
  assert np.corrcoef(ours, theirs)[0, 1] >= 0.97
  if not own_words:  # and it is the same where neither stage is needed
    assert (np.abs(ours - theirs) < 1e-9).sum() > 20


WORDS = st.lists(st.sampled_from(["a", "dog", "dogs", "x"]), max_size=5)


def _every_alignment(true, said):
  """(minus matched words, exact ones twice; chunks) of every alignment."""
  same = {"dogs": "dog"}
  places = [
    [None, *(j for j, t in enumerate(true) if same.get(t, t) == same.get(s, s))]
    for s in said
  ]
  for chosen in itertools.product(*places):
    taken = [j for j in chosen if j is not None]
    if len({*taken}) == len(taken):
      cover = sum(
        2 if said[i] == true[j] else 1
        for i, j in enumerate(chosen)
        if j is not None
      )
      chunks = sum(
        j is not None and (i == 0 or chosen[i - 1] != j - 1)
        for i, j in enumerate(chosen)
      )
      yield -cover, chunks


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(WORDS, WORDS)
def test_the_alignment_is_the_best_of_all(true, said):
  pairs, chunks = meteor.align(true, said)
  cover = sum(2 if said[i] == true[j] else 1 for i, j in pairs)
  assert (-cover, chunks) == min(_every_alignment(true, said))


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(WORDS, WORDS)
def test_it_is_a_share_and_the_reference_is_best(true, said):
  assert 0 <= meteor.meteor(true, said) <= 1
  assert meteor.meteor(true, true) == (1 if true else 0)
  assert meteor.meteor(true, []) == 0


def test_a_long_text_that_repeats_itself_ends():
  text = ["the", "cat", "sat"] * 40
  assert meteor.meteor(text, text) == 1
  assert 0 < meteor.meteor(text, ["the"] * 100) < 1

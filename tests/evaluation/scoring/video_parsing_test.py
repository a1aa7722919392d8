"""The ten F-scores of LLP, worked by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.scoring import video_parsing


def _grids(*events):
  return video_parsing.grids(tuple(intervals.Event(*event) for event in events))


def test_golden():
  truth = _grids(("dog", 0, 4, "audio"), ("dog", 2, 6, "visual"))
  said = _grids(("dog", 0, 2, "audio"), ("dog", 2, 6, "visual"))
  scores = video_parsing.clip_scores(truth, said)
  # Heard: 2 hits, 2 misses, F 2/3. Seen: F 1. Both: true seconds 2 and 3,
  # said none, F 0. Pooled: 6 hits, 2 misses, F 12/14.
  # Runs: 0-2 against 0-4 has IoU 1/2, a hit; both: one missed run.
  expected = dict(
    segment_audio=2 / 3,
    segment_visual=1,
    segment_audio_visual=0,
    segment_type_av=5 / 9,
    segment_event_av=6 / 7,
    event_audio=1,
    event_visual=1,
    event_audio_visual=0,
    event_type_av=2 / 3,
    event_event_av=1,
  )
  assert tuple(expected) == video_parsing.NAMES
  np.testing.assert_allclose(scores, list(expected.values()), atol=1e-9)


def test_mean_over_the_classes_that_are_present():
  truth = _grids(("dog", 0, 2, "audio"))
  said = _grids(("dog", 0, 2, "audio"), ("cat", 0, 1, "audio"))
  scores = dict(
    zip(
      video_parsing.NAMES,
      video_parsing.clip_scores(truth, said),
      strict=True,
    )
  )
  assert scores["segment_audio"] == pytest.approx(1 / 2, abs=1e-9)
  assert scores["segment_visual"] == 1  # nobody sees anything


def test_an_event_is_both_seen_and_heard():
  heard, seen = _grids(("dog", 0, 3))
  assert heard == seen == {"dog": 0b111}


def test_runs():
  assert video_parsing.runs(0b1011001110) == (0b1110, 0b11000000, 1 << 9)
  assert video_parsing.runs(0b1111111111) == (0b1111111111,)
  assert video_parsing.runs(0) == ()


def test_event_counts_as_the_official_code_does():
  # Two predicted runs may hit the same true run.
  truth, said = 0b0000111111, 0b0000111110
  assert video_parsing.event_counts(truth, said) == (1, 0, 0)
  assert video_parsing.event_counts(0b1, 0b1110) == (0, 1, 1)
  assert video_parsing.event_counts(0b1111, 0b0011) == (1, 0, 0)  # IoU 1/2


ROWS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 1023))
PAIRS = st.tuples(ROWS, ROWS)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(PAIRS, PAIRS)
def test_scores_are_shares_and_perfect_is_one(truth, said):
  scores = video_parsing.clip_scores(truth, said)
  assert all(0 <= score <= 1 for score in scores)
  assert video_parsing.clip_scores(truth, truth) == (1,) * 10


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.integers(0, 1023), st.integers(0, 1023))
def test_counts_swap_with_their_arguments(truth, said):
  hits, extra, missed = video_parsing.segment_counts(truth, said)
  assert video_parsing.segment_counts(said, truth) == (hits, missed, extra)
  assert sum(row.bit_count() for row in video_parsing.runs(truth)) == (
    truth.bit_count()
  )


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(ROWS.filter(bool))
def test_silence_about_what_is_seen_and_heard_is_zero(row):
  assert video_parsing.clip_scores((row, row), ({}, {})) == (0,) * 10


EVENTS = st.lists(
  st.builds(
    lambda label, start, length, modality: intervals.Event(
      label, start, start + length, modality
    ),
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.integers(1, 5),
    st.sampled_from(("both", "audio", "visual")),
  ),
  max_size=6,
)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(EVENTS, EVENTS, st.randoms())
def test_the_order_of_events_does_not_matter(truth, said, random):
  scores = [
    video_parsing.clip_scores(
      video_parsing.grids(tuple(true)), video_parsing.grids(tuple(answer))
    )
    for true, answer in (
      (truth, said),
      (random.sample(truth, len(truth)), random.sample(said, len(said))),
    )
  ]
  assert scores[0] == pytest.approx(scores[1], abs=1e-12)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.integers(1, 1023), st.integers(0, 1023), st.data())
def test_a_right_second_never_lowers_the_segment_f(truth, said, data):
  second = 1 << data.draw(st.integers(0, 9))
  better = said | (truth & second)
  before, after = (
    video_parsing.mean_f([video_parsing.segment_counts(truth, row)])
    for row in (said, better)
  )
  assert 0 <= before <= after <= 1
  hits, extra, missed = video_parsing.event_counts(truth, said)
  assert hits + extra == len(video_parsing.runs(said))
  assert missed <= len(video_parsing.runs(truth))

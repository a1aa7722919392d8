"""The grid of ten seconds, worked by hand."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.scoring import segments

Event = intervals.Event


def test_spans_are_half_open_and_cut_at_ten():
  row = segments.sequence((Event("Dog", 2, 5), Event("cat", 8, 12)))
  assert row == ["", "", "dog", "dog", "dog", "", "", "", "cat", "cat"]
  assert segments.sequence((Event("dog", 10, 12),)) == [""] * 10


def test_the_first_of_two_overlapping_events_wins():
  row = segments.sequence((Event("dog", 0, 4), Event("cat", 2, 6)))
  assert row[:7] == ["dog"] * 4 + ["cat"] * 2 + [""]


def test_halves_are_rounded_up():
  assert segments.span(Event("dog", 0.5, 2.4)) == slice(1, 2)
  assert segments.span(Event("dog", 1.5, 2.5)) == slice(2, 3)


def test_segment_accuracy_golden():
  truth = segments.sequence((Event("dog", 2, 5),))
  said = segments.sequence((Event("dog", 3, 7),))
  # Wrong: second 2 (missed), 5 and 6 (invented).
  accuracy = segments.segment_accuracy(truth, said)
  assert accuracy == pytest.approx(0.7, abs=1e-9)
  assert segments.foreground_accuracy([truth], [said]) == pytest.approx(2 / 3)


def test_constant_sequence_is_the_commonest_of_each_second():
  rows = [
    segments.sequence((Event("dog", 0, 2),)),
    segments.sequence((Event("dog", 1, 3),)),
    segments.sequence((Event("cat", 1, 2),)),
  ]
  assert segments.constant_sequence(rows) == ["", "dog"] + [""] * 8


_ROW = st.lists(
  st.sampled_from(["", "dog", "cat"]),
  min_size=segments.SEGMENTS,
  max_size=segments.SEGMENTS,
)


@hypothesis.given(truth=_ROW, said=_ROW, order=st.permutations(range(10)))
def test_the_order_of_seconds_does_not_matter(truth, said, order):
  value = segments.segment_accuracy(truth, said)
  shuffled = ([row[i] for i in order] for row in (truth, said))
  assert segments.segment_accuracy(*shuffled) == value


@hypothesis.given(truth=_ROW, said=_ROW, second=st.integers(0, 9))
def test_a_right_second_never_lowers_the_accuracy(truth, said, second):
  better = [*said[:second], truth[second], *said[second + 1 :]]
  for metric in (
    segments.segment_accuracy,
    lambda a, b: segments.foreground_accuracy([a], [b]),
  ):
    assert 0 <= metric(truth, said) <= metric(truth, better) <= 1
  assert segments.segment_accuracy(truth, truth) == 1
  nothing = [segments.BACKGROUND] * segments.SEGMENTS
  assert segments.foreground_accuracy([truth], [nothing]) == 0

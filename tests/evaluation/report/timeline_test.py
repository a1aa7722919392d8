"""Timelines of true and answered events."""

import pytest

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.report import timeline


def test_a_row_for_each_label_and_modality():
  truth = (intervals.Event("dog", 0, 5, "visual"),)
  answered = (
    intervals.Event("dog", 0, 5, "audio"),
    intervals.Event("dog", 5, 8),
  )
  drawn = timeline.draw(truth, answered)
  assert [row.name for row in drawn.rows] == ["see dog", "hear dog", "dog"]
  assert [[bar.answered for bar in row.bars] for row in drawn.rows] == [
    [False],
    [True],
    [True],
  ]
  assert drawn.more == 0
  assert timeline.draw((), ()) is None


def test_seconds_are_lengths():
  drawn = timeline.draw((intervals.Event("dog", 2, 7),), ())
  ((bar,),) = [row.bars for row in drawn.rows]
  second = drawn.ticks[1][0] - drawn.ticks[0][0]
  assert drawn.ticks[0] == (drawn.left, 0) and len(drawn.ticks) == 11
  assert bar.x == pytest.approx(drawn.left + 2 * second)
  assert bar.width == pytest.approx(5 * second)
  assert drawn.ticks[-1][0] <= drawn.width


def test_an_event_that_ends_before_it_starts_has_no_width():
  drawn = timeline.draw((), (intervals.Event("dog", 7, 2),))
  assert drawn.rows[0].bars[0].width == 0


def test_an_endless_answer_has_an_end():
  answered = tuple(intervals.Event(f"dog {i}", 0, 5) for i in range(500))
  drawn = timeline.draw((), answered)
  assert (len(drawn.rows), drawn.more) == (12, 488)
  assert drawn.bottom > drawn.rows[-1].y + 30


def test_a_long_clip_has_fewer_ticks():
  drawn = timeline.draw((intervals.Event("dog", 0, 60),), ())
  assert [second for _, second in drawn.ticks] == list(range(0, 61, 5))

import pytest

from crab_jax.data.media import timeline

_RATE = 1000


def _placed(origin, blocks, jumps=False):
  """(silence, skipped) of blocks of (time, samples)."""
  line = timeline.Timeline(origin, jumps)
  return line, [line.place(time, count, _RATE) for time, count in blocks]


@pytest.mark.parametrize("origin", [None, 0.0, 7.0])
def test_blocks_that_follow_each_other_are_left_as_they_are(origin):
  start = origin or 0.0
  blocks = [
    (start + 0.5 * index + 0.01 * (index % 2), 500) for index in range(9)
  ]
  line, placed = _placed(origin, blocks)
  assert placed == [(0, 0)] * 9
  assert (line.decoded, line.silence, line.early) == (4.5, 0, 0)


def test_small_errors_of_the_clock_do_not_add_up():
  blocks = [(0.502 * index, 500) for index in range(1000)]
  line, placed = _placed(0.0, blocks)
  assert line.decoded + line.silence == pytest.approx(502, abs=0.1)
  assert max(silence for silence, _ in placed) < 60


def test_a_late_start_and_a_hole_are_silence():
  line, placed = _placed(1.0, [(3.0, 500), (3.5, 500), (6.0, 500)])
  assert placed == [(2000, 0), (0, 0), (2000, 0)]
  assert (line.decoded, line.silence) == (1.5, 4)


def test_what_lies_before_the_origin_is_left_out():
  line, placed = _placed(1.0, [(0.0, 700), (0.7, 700), (1.4, 100)])
  assert placed == [(0, 700), (0, 300), (0, 0)]
  assert line.early == pytest.approx(1.0)


def test_a_hole_around_the_origin_is_silence_from_there_on():
  _, placed = _placed(1.0, [(0.0, 200), (3.0, 100)])
  assert placed == [(0, 200), (2000, 0)]


def test_without_a_film_the_first_sample_is_the_origin():
  _, placed = _placed(None, [(5.0, 500), (6.0, 500)])
  assert placed == [(0, 0), (500, 0)]


def test_blocks_without_times_follow_each_other():
  _, placed = _placed(2.0, [(None, 500), (None, 500), (9.0, 500)])
  assert placed == [(0, 0), (0, 0), (6000, 0)]


def test_a_clock_that_starts_anew_loses_nothing():
  line, placed = _placed(0.0, [(0.0, 500), (0.5, 500), (0.0, 500), (0.5, 500)])
  assert placed == [(0, 0)] * 4
  assert line.decoded == 2


def test_a_broadcast_may_jump():
  blocks = [(0.0, 500), (3600.0, 500), (3600.5, 500), (3602.0, 500)]
  _, placed = _placed(0.0, blocks, jumps=True)
  assert placed == [(0, 0), (0, 0), (0, 0), (1000, 0)]


def test_no_damaged_time_asks_for_more_than_memory_holds():
  with pytest.raises(ValueError, match="hole of 10000"):
    _placed(0.0, [(0.0, 500), (10_000.0, 500)])

"""Intervals of seconds: every way to write a known one reads back to it."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import times


def _found(text):
  return [(i.start, i.end, i.exact) for i in times.find(text)]


@pytest.mark.parametrize("text", ["(3 7)", "(3,7)", "[3,7]"])
def test_the_forms_of_av_uie_are_exact(text):
  assert _found(f"dog, {text}") == [(3, 7, True)]


@pytest.mark.parametrize(
  "text",
  [
    "(0:03-0:07)",
    "(00:03, 00:07)",
    "[00:00:03 - 00:00:07]",
    "0:03 to 0:07",
    "3s to 7s",
    "from 3s to 7s",
    "from 3 to 7",
    "3-7 seconds",
    "3 – 7 sec",
    "(3s 7s)",
    "(3-7)s",
    "{3; 7}",
    "(start=3, end=7)",
    "start: 3, end: 7",
    "start_time 3 end_time 7",
    "between 3 and 7",
    "(3 and 7)",
    "t=3..7",
    '(3"-7")',
    "(3 → 7)",
    "(3~7秒)",
    "from second 3 to second 7",
  ],
)
def test_what_people_write(text):
  assert _found(f"dog, {text}") == [(3, 7, False)]


def test_minutes():
  assert _found("dog, 1 min 5 s to 1:10") == [(65, 70, False)]
  assert _found("dog, (1m - 1:02:03.5)") == [(60, 3723.5, False)]


@pytest.mark.parametrize(
  "text",
  [
    "(37)",  # one time, and no interval
    "(3)",
    "(3.7)",
    "(3 7 9)",
    "at 3 s",
    "3 and 7",  # two times, as well as an interval
    "3-7-9",
    "(1234567 9)",
    "(500 ms, 7)",
    "model 747-400x",
    "3 7 dogs",
  ],
)
def test_what_is_no_interval(text):
  assert _found(f"dog {text}") == []


def test_listed_intervals_stand_behind_a_comma():
  assert _found("dog, 3 7, 8, 9") == [(3, 7, False), (8, 9, False)]
  assert _found("dog 3 7") == []


_TIMES = st.integers(0, 359_999).map(lambda tenths: tenths / 100)


def _clock(time):
  minutes, seconds = divmod(round(100 * time), 6000)
  return f"{minutes}:{seconds // 100:02}.{seconds % 100:02}"


_FORMS = (
  lambda t: f"{t:.2f}",
  lambda t: f"{t:.2f}s",
  lambda t: f"{t:.2f} seconds",
  _clock,
)
_FRAMES = (
  "({} {})", "({},{})", "[{}, {}]", "({} - {})", "( {} ; {} )", "{{{} to {}}}",
  "from {} to {}", "{} - {}", "{}–{}", "{} until {}", "between {} and {}",
  "start: {}, end: {}", "(start_time={}, end_time={})",
)  # fmt: skip


@hypothesis.given(
  start=_TIMES,
  end=_TIMES,
  form=st.sampled_from(_FORMS),
  frame=st.sampled_from(_FRAMES),
)
def test_every_writing_of_an_interval_reads_back(start, end, form, frame):
  text = frame.format(form(start), form(end))
  ((found_start, found_end, _),) = _found(f"a dog, {text}.")
  assert found_start == pytest.approx(start)
  assert found_end == pytest.approx(end)

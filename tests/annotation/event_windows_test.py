"""Windows of long clips: no second is lost, invented or moved."""

import numpy as np

from crab_jax.annotation import event_windows
from crab_jax.evaluation.reading import intervals


def _clip(rng):
  length = float(np.round(rng.uniform(11, 90), 2))
  events = []
  for i in range(rng.integers(1, 8)):
    start = float(rng.uniform(0, length - 0.1))
    end = float(min(start + rng.exponential(6) + 0.05, length))
    events.append(intervals.Event(f"e{i}", start, end))
  return length, events


def test_windows_hold_the_seconds_of_their_events():
  rng = np.random.default_rng(0)
  cut = 0
  for _ in range(500):
    length, events = _clip(rng)
    limit = int(rng.integers(1, 5))
    found = event_windows.cut(length, events, 10.0, limit, float(rng.random()))
    cut += len(found)
    assert len(found) <= limit
    assert all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))
    for window in found:
      assert window.start.is_integer()
      assert 1 <= window.end - window.start <= 10
      assert window.end <= length
      _check_events(window, events)
  assert cut > 500


def _check_events(window, events):
  """Each is where it was, and whoever is not there is counted."""
  dropped = 0
  told = {event.label: event for event in window.events}
  for event in events:
    start, end = max(event.start, window.start), min(event.end, window.end)
    if event.label in told:
      there = told[event.label]
      assert np.isclose(there.start + window.start, start)
      assert np.isclose(there.end + window.start, end)
      assert there.end - there.start > 0
    elif end > start:
      assert end - start < 1
      dropped += 1
  assert dropped == window.dropped
  assert any(
    (window.start <= e.start and e.end <= window.end)
    or (e.start <= window.start and window.end <= e.end)
    for e in events
  )


def test_an_event_does_not_always_begin_its_window():
  events = [intervals.Event("dog", 40.0, 42.0)]
  starts = {
    event_windows.cut(90.0, events, 10.0, 3, share)[0].start
    for share in (0.0, 0.5, 1.0)
  }
  assert starts == {32.0, 36.0, 40.0}


def test_an_event_as_long_as_the_clip_fills_its_windows():
  events = [intervals.Event("dog", 0.0, 35.0)]
  (window,) = event_windows.cut(35.0, events, 10.0, 1)
  assert window.events == (intervals.Event("dog", 0.0, 10.0),)

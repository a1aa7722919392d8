"""Where the time of a run goes, by a clock of the test."""

import pytest

from crab_jax.training import health


class _Clock:
  def __init__(self):
    self.seconds = 100.0

  def __call__(self):
    return self.seconds


@pytest.fixture
def clock(monkeypatch):
  monkeypatch.setattr(health, "_compile_seconds", lambda: 0.0)
  return _Clock()


def test_shares_add_up_and_mfu_is_of_the_steps(clock):
  found = health.Health(health.Peak(6e12, 1e12), clock)
  found.restored(4, 10.0)
  clock.seconds += 30.0
  found.spent("data", 2.0)
  found.spent("save", 3.0)
  found.spent("evaluation", 6.0)
  line, told = found.line(6)
  kinds = {k: v for k, v in line.items() if k.startswith("seconds/")}
  assert sum(kinds.values()) == pytest.approx(40.0)
  assert kinds["seconds/restore"] == 10.0
  assert line["goodput"] == pytest.approx((40 - 10 - 2 - 3 - 6) / 40)
  # Two steps of 6 TFLOP in all of the time but the evaluation and the start.
  assert line["mfu"] == pytest.approx(12 / (30 - 6 - 10))
  assert told is None


def test_an_unknown_chip_has_no_mfu(clock):
  found = health.Health(health.Peak(6e12, None), clock)
  clock.seconds += 1.0
  assert "mfu" not in found.line(1)[0]


@pytest.mark.parametrize(
  ("kind", "said"),
  [("data", "waits for data"), ("save", "checkpoints"), (None, "neither")],
)
def test_a_run_that_slows_says_why_once(clock, kind, said):
  found, told = health.Health(None, clock), []
  for step in range(1, 40):
    slow = step > 20
    clock.seconds += 25.0 if slow else 10.0
    if slow and kind:
      found.spent(kind, 15.0)
    told.append(found.line(step)[1])
  assert told[:22] == [None] * 22
  assert [text for text in told if text] == [told[22]]
  assert said in told[22]
  assert "25.00 s a step, usually 10.00 s" in told[22]


def test_a_short_slowness_is_not_told(clock):
  found = health.Health(None, clock)
  for step in range(1, 30):
    clock.seconds += 25.0 if step % 10 == 0 else 10.0
    assert found.line(step)[1] is None

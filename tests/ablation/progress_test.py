"""How far a study is, and how long the rest takes."""

import pytest

from crab_jax.ablation import manifest as manifest_lib
from crab_jax.ablation import progress


@pytest.fixture
def manifest(tmp_path):
  return manifest_lib.Manifest(tmp_path, expiry=60)


def test_progress_and_the_time_that_remains(manifest):
  """10 s for 5 steps: 2 s a step, 20 + 30 steps remain."""
  manifest.save("a", {"seconds": 10})
  manifest.claim("b")
  found = progress.of(manifest, {"a": 5, "b": 20, "c": 30})
  assert (found.done, found.running, found.remaining) == (
    ("a",),
    ("b",),
    ("c",),
  )
  assert found.seconds == pytest.approx(100)
  assert (found.duration(1), found.duration(2)) == ("2 min", "1 min")


def test_a_run_that_compiled_is_forgotten(manifest):
  """500, 2 and 2 s for one step each: the median is 2 s."""
  for name, seconds in (("a", 500), ("b", 2), ("c", 2)):
    manifest.save(name, {"seconds": seconds})
  found = progress.of(manifest, {"a": 1, "b": 1, "c": 1, "d": 10})
  assert found.seconds == pytest.approx(20)


def test_nothing_done_gives_no_estimate(manifest):
  assert progress.of(manifest, {"a": 5}).seconds is None
  assert "unknown" in progress.in_words(None)


@pytest.mark.parametrize(
  ("seconds", "words"), [(59, "1 min"), (3660, "1 h 1 min"), (20, "0 min")]
)
def test_durations(seconds, words):
  assert progress.in_words(seconds) == words

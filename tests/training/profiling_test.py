"""The window of steps that is traced."""

import jax.numpy as jnp
import pytest

from crab_jax import errors
from crab_jax.training import profiling


def _traces(folder):
  return list(folder.rglob("*.xplane.pb"))


def test_a_window_is_traced_once(tmp_path):
  profiler = profiling.Profiler(profiling.parse("2:3"), tmp_path)
  for step in range(1, 6):
    profiler.before_step(step)
    assert profiler._on == (step in (2, 3))
    profiler.after_step(step, None, jnp.ones(2) + step)
  profiler.close()
  assert len(_traces(tmp_path)) == 1


def test_a_stage_that_ends_early_still_has_its_trace(tmp_path):
  profiler = profiling.Profiler(profiling.parse("1:9"), tmp_path)
  profiler.before_step(1)
  profiler.after_step(1, None, jnp.ones(2))
  profiler.close()
  assert len(_traces(tmp_path)) == 1


def test_without_a_window_nothing_is_traced(tmp_path):
  profiler = profiling.Profiler(None, tmp_path)
  profiler.before_step(1)
  profiler.after_step(1, None, None)
  profiler.close()
  assert not _traces(tmp_path)


@pytest.mark.parametrize("text", ["10", "5:3", "0:4", "a:b", "1:2:3"])
def test_a_window_that_is_none_is_an_error(text):
  with pytest.raises(errors.UserError, match="FIRST:LAST"):
    profiling.parse(text)

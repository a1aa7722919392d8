"""Whatever watches the steps speaks the protocol of the loop."""

import inspect

import pytest

from crab_jax.ablation import run
from crab_jax.training import callbacks
from crab_jax.training import compilation
from crab_jax.training import profiling


@pytest.mark.parametrize(
  "kind", [compilation.Monitor, profiling.Profiler, run.LastLosses]
)
@pytest.mark.parametrize("method", ["before_step", "after_step", "close"])
def test_a_callback_takes_what_the_loop_gives(kind, method):
  wanted = inspect.signature(getattr(callbacks.Callback, method))
  found = inspect.signature(getattr(kind, method))
  assert list(found.parameters) == list(wanted.parameters)

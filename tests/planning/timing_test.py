"""A step is timed on random rows."""

import dataclasses
import math

import pytest

from crab_jax import configs
from crab_jax.planning import timing

_ROWS = configs.Rows(
  rows=8, tokens=48, frame_pairs=2, chunks=2, supervised=12, samples=3
)
_MODEL = configs.tiny(adapter=configs.ILora(rank=4, alpha=8.0), remat="full")


@pytest.mark.slow
def test_a_measurement_is_complete():
  small = dataclasses.replace(
    _MODEL, decoder=dataclasses.replace(_MODEL.decoder, layers=1)
  )
  stage = configs.Stage(name="t", steps=5, trains="adapter", rows=_ROWS)
  mesh = configs.Mesh(strategy="mesh", data=4, fsdp=2)
  found = timing.measure(small, stage, mesh, steps=2)
  assert math.isfinite(found.loss)
  assert found.devices == 8
  assert found.first_seconds > found.step_seconds > 0
  assert found.first_seconds > found.compile_seconds > 0
  assert found.tokens_per_second == pytest.approx(8 * 48 / found.step_seconds)
  assert found.utilisation is None  # the peak of a CPU is not in the table
  assert found.peak_bytes > 2**20
  assert "unknown peak" in "\n".join(timing.lines(found))

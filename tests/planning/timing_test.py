"""A step is timed with random rows that are valid in every field."""

import dataclasses
import math

import numpy as np
import pytest

from crab_jax import array_types
from crab_jax import configs
from crab_jax.planning import aot
from crab_jax.planning import batches
from crab_jax.planning import timing

_ROWS = configs.Rows(
  rows=8, tokens=48, frame_pairs=2, chunks=2, supervised=12, samples=3
)
_MODEL = configs.tiny(adapter=configs.ILora(rank=4, alpha=8.0), remat="full")


def test_a_random_batch_has_the_shapes_that_are_compiled_for():
  batch = batches.random_batch(_MODEL, _ROWS)
  shapes = aot.batch_shapes(_MODEL, _ROWS)
  assert batch.keys() == shapes.keys()
  for name, leaf in batch.items():
    assert (leaf.shape, leaf.dtype) == (shapes[name].shape, shapes[name].dtype)


def test_a_random_batch_is_valid():
  batch = batches.random_batch(_MODEL, _ROWS)
  media = 2 * _MODEL.vision.unit_tokens + 2 * _MODEL.audio.unit_tokens
  source = batch["source"][0]
  assert sorted(source[source >= 0]) == list(range(min(media, 24)))
  kind = array_types.TokenKind
  assert (batch["kinds"][0][:8] == kind.VISION).all()
  assert (batch["kinds"][0][source < 0] == kind.TEXT).all()
  assert batch["weights"].sum() == 8 * 12
  assert (batch["supervised"] < 47).all()
  assert not np.array_equal(
    batch["tokens"], batches.random_batch(_MODEL, _ROWS, seed=1)["tokens"]
  )


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

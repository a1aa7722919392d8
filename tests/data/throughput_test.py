"""The rates of the input pipeline, on small records."""

import dataclasses

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import throughput
from tests.data import small_records

_ROWS = configs.Rows(
  rows=1, tokens=600, frame_pairs=10, chunks=10, supervised=100, waiting=4
)
_STAGE = configs.Stage(name="toy", steps=1, trains="all", rows=_ROWS)


def _write(root, **counts):
  made = [
    small_records.record(name, row)
    for name, count in counts.items()
    for row in range(count)
  ]
  small_records.write(root, made)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  root = tmp_path_factory.mktemp("records")
  _write(root, ks=6, ave=6)
  return throughput.measure(
    prepared_records.read(root),
    small_records.DATA,
    small_records.MODEL,
    _STAGE,
    12,
  )


def test_every_stage_costs_something(found):
  stages = ["read", "images", "audio", "mel", "text", "packing"]
  assert list(found.stages) == stages
  assert all(value >= 0 for value in found.stages.values())
  assert found.stages["mel"] > 0
  total = sum(found.stages.values())
  np.testing.assert_allclose(found.stage_rate, 1000 / total)


def test_the_pipeline_has_rates(found):
  assert found.pipeline_rate > 0
  assert found.pipeline_wall_rate > 0
  assert 0 < found.useful <= 1
  text = "\n".join(throughput.lines(found))
  assert "samples/s a core" in text
  assert "12 samples" in text


def test_records_that_are_not_there_are_named(tmp_path):
  _write(tmp_path, ave=6)
  stage = dataclasses.replace(_STAGE, mixture={"ks": 1.0})
  with pytest.raises(errors.UserError, match="ks"):
    throughput.measure(
      prepared_records.read(tmp_path),
      small_records.DATA,
      small_records.MODEL,
      stage,
      4,
    )


def test_records_are_taken_in_turn(tmp_path):
  _write(tmp_path, ks=3, ave=3)
  chosen = throughput._chosen(prepared_records.read(tmp_path), _STAGE, 8)
  assert [part.task for part, _ in chosen[:4]] == ["ks", "ave"] * 2
  assert [index for _, index in chosen] == [0, 0, 1, 1, 2, 2, 0, 0]

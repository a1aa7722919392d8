"""Plans without a compiler: what is added up, what is said of it."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax.planning import report
from tests.planning import made_plan


@pytest.mark.parametrize(
  ("towers", "said"),
  [(None, "full"), ("full", "full"), ("projections", "full/projections")],
)
def test_what_towers_keep_is_said_where_it_differs(towers, said):
  model = dataclasses.replace(made_plan.MODEL, remat="full", tower_remat=towers)
  assert report._remat(model) == said


def test_best_overlaps_and_worst_does_not():
  times = report.Times(0.6, 0.4, 0.2)
  assert times.best == 0.6
  assert times.worst == pytest.approx(1.2)
  times = dataclasses.replace(times, slices=0.9)
  assert times.best == 0.9
  assert times.worst == pytest.approx(2.1)


def test_bytes_between_slices_cost_the_network_between_them():
  found = made_plan.plan()
  spent = dataclasses.replace(found.costs, from_slices=3.125e9)
  assert report.times(found.costs, found.chip).slices == 0
  assert report.times(spent, found.chip).slices == pytest.approx(1.0)


def test_rates_follow_from_the_step():
  job = report.Job(samples=1000, epochs=2, sample_tokens=500.0, useful=0.5)
  found = report.rates(made_plan.plan(), 2.0, job)
  tokens = 16 * 2048 * 0.5 / 2.0
  assert found["tokens_per_second"] == tokens
  assert found["samples_per_second"] == tokens / 500
  assert found["hours"] == pytest.approx(2000 / (tokens / 500) / 3600)
  assert found["chip_hours"] == pytest.approx(16 * found["hours"])
  share = made_plan.plan().model_flops.total / (2.0 * 16 * 197e12)
  assert found["model_flops_utilisation"] == pytest.approx(share)


def test_the_json_is_plain_and_states_its_assumptions():
  values = json.loads(
    json.dumps(report.as_json(made_plan.plan(), report.Job()))
  )
  assert values["estimates"]["assumptions"]["samples"] == 222_000
  assert "not measurements" in values["estimates"]["note"]
  assert values["rows"]["tokens"] == 2048


def test_bytes_of_a_shard():
  mesh = jax.make_mesh((4, 2), ("a", "b"), (jax.sharding.AxisType.Auto,) * 2)
  where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("a", "b"))
  leaf = jax.ShapeDtypeStruct((8, 6), np.dtype("bfloat16"), sharding=where)
  assert report.shard_bytes({"x": leaf, "y": leaf}) == 2 * (2 * 3) * 2

"""Plans without a compiler: what is added up, what is said of it."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import collectives
from crab_jax.planning import costs
from crab_jax.planning import flops
from crab_jax.planning import report
from crab_jax.planning import sweep
from crab_jax.planning import text

_GIB = 2**30
_ROWS = configs.Rows(rows=16)
_MODEL = configs.qwen2_5_omni_7b(adapter=configs.ILora())
_STAGE = configs.Stage(name="tuning", steps=10, trains="adapter", rows=_ROWS)


def _plan(peak=8 * _GIB, step=1.0, rows=16, fits=True):
  chip, count = chips.of_topology("v5e:4x4")
  kinds = collectives.KINDS
  spent = costs.Costs(
    flops=1.2e14,
    again=3e13,
    adapter=1e13,
    adapter_again=2e12,
    hbm_bytes=3e11,
    received=dict.fromkeys(kinds, 0.0) | {"all-gather": 3e10},
    calls=dict.fromkeys(kinds, 0) | {"all-gather": 400},
    largest=dict.fromkeys(kinds, (0.0, "")) | {"all-gather": (1e9, "head")},
  )
  shape = dataclasses.replace(_ROWS, rows=rows)
  return report.Plan(
    topology="v5e:4x4",
    chip=chip,
    chips=count,
    mesh={"data": 1, "fsdp": 16, "tensor": 1},
    remat="full",
    rows=shape,
    memory=report.Memory(
      1.1 * _GIB, 0.2 * _GIB, 0.4 * _GIB, 1e8, 5 * _GIB, peak, chip.hbm_bytes
    ),
    model_flops=flops.train_step(_MODEL, shape, "adapter"),
    costs=spent if fits else None,
    times=report.Times(0.6 * step, 0.4 * step, 0.2 * step) if fits else None,
    compile_seconds=30.0,
  )


@pytest.mark.parametrize(
  ("towers", "said"),
  [(None, "full"), ("full", "full"), ("projections", "full/projections")],
)
def test_what_towers_keep_is_said_where_it_differs(towers, said):
  model = dataclasses.replace(_MODEL, remat="full", tower_remat=towers)
  assert report._remat(model) == said


def test_best_overlaps_and_worst_does_not():
  times = report.Times(0.6, 0.4, 0.2)
  assert times.best == 0.6
  assert times.worst == pytest.approx(1.2)


def test_rates_follow_from_the_step():
  job = report.Job(samples=1000, epochs=2, sample_tokens=500.0, useful=0.5)
  found = report.rates(_plan(), 2.0, job)
  tokens = 16 * 2048 * 0.5 / 2.0
  assert found["tokens_per_second"] == tokens
  assert found["samples_per_second"] == tokens / 500
  assert found["hours"] == pytest.approx(2000 / (tokens / 500) / 3600)
  assert found["chip_hours"] == pytest.approx(16 * found["hours"])
  share = _plan().model_flops.total / (2.0 * 16 * 197e12)
  assert found["model_flops_utilisation"] == pytest.approx(share)


def test_what_is_executed_is_told_apart():
  found = _plan()
  ratio = report.executed_over_model(found)
  assert ratio == 1.2e14 * 16 / found.model_flops.total
  said = "\n".join(text.lines(found, report.Job()))
  assert f"{ratio:.2f} times" in said
  assert "repeated for the backward pass 25%" in said
  assert "ESTIMATES" in said
  assert "fits" in said
  assert found.chip.source in said


def test_a_plan_that_does_not_fit_says_so():
  found = _plan(peak=20 * _GIB, fits=False)
  assert not found.memory.fits
  assert "DOES NOT FIT" in "\n".join(text.lines(found, report.Job()))
  assert "does not fit" in text.row(found, report.Job())
  values = report.as_json(found, report.Job())
  assert values["fits"] is False
  assert "estimates" not in values


def test_the_json_is_plain_and_states_its_assumptions():
  values = json.loads(json.dumps(report.as_json(_plan(), report.Job())))
  assert values["estimates"]["assumptions"]["samples"] == 222_000
  assert "not measurements" in values["estimates"]["note"]
  assert values["rows"]["tokens"] == 2048


def test_bytes_of_a_shard():
  mesh = jax.make_mesh((4, 2), ("a", "b"), (jax.sharding.AxisType.Auto,) * 2)
  where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("a", "b"))
  leaf = jax.ShapeDtypeStruct((8, 6), np.dtype("bfloat16"), sharding=where)
  assert report.shard_bytes({"x": leaf, "y": leaf}) == 2 * (2 * 3) * 2


def test_the_compilers_complaint_is_a_size():
  error = ValueError(
    "... Ran out of memory in memory space hbm. Used 17.50G of 15.75G hbm. ..."
  )
  assert aot._too_large(error) == 17.5 * _GIB
  with pytest.raises(ValueError, match="something else"):
    aot._too_large(ValueError("something else"))


@pytest.fixture
def pretend(monkeypatch):
  """Compiling is pretended: more rows are better until they do not fit."""

  def plan(model, stage, mesh, topology):
    rows = stage.rows.rows
    if rows % mesh.fsdp:
      raise ValueError(f"{rows} rows on {mesh.fsdp}")
    peak = rows * 0.3 * _GIB * (2 if model.remat == "projections" else 1)
    step = rows**0.9 * (0.8 if model.remat == "projections" else 1)
    return dataclasses.replace(_plan(peak, step, rows), remat=model.remat)

  monkeypatch.setattr(report, "plan", plan)


def test_a_sweep_ranks_what_fits(pretend):
  grid = sweep.Grid((16, 32, 40), ("full", "projections"), ((1, 16, 1),))
  tried = list(sweep.run(_MODEL, _STAGE, configs.Mesh(), "v5e:4x4", grid))
  assert len(tried) == 6
  assert [c.why for c in tried if c.plan is None] == ["40 rows on 16"] * 2
  best = sweep.ranked(tried)
  assert [(p.remat, p.rows.rows) for p in best] == [
    ("projections", 16),
    ("full", 32),
    ("full", 16),
  ]


def test_the_default_grid_keeps_all_chips_busy():
  grid = sweep.default_grid(_STAGE, "v5e:4x4")
  assert grid.rows == (16, 32)
  assert grid.meshes == ((1, 16, 1), (1, 8, 2), (1, 4, 4))

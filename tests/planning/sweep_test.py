"""Sweeps: what is tried, and in which order it is told."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax.planning import report
from crab_jax.planning import sweep
from tests.planning import made_plan


@pytest.fixture
def pretend(monkeypatch):
  """Compiling is pretended: more rows are better until they do not fit."""

  def plan(model, stage, mesh, topology):
    rows = stage.rows.rows
    if rows % mesh.fsdp:
      raise ValueError(f"{rows} rows on {mesh.fsdp}")
    peak = (
      rows * 0.3 * made_plan.GIB * (2 if model.remat == "projections" else 1)
    )
    step = rows**0.9 * (0.8 if model.remat == "projections" else 1)
    return dataclasses.replace(
      made_plan.plan(peak, step, rows), remat=model.remat
    )

  monkeypatch.setattr(report, "plan", plan)


def test_a_sweep_ranks_what_fits(pretend):
  grid = sweep.Grid((16, 32, 40), ("full", "projections"), ((1, 16, 1),))
  tried = list(
    sweep.run(made_plan.MODEL, made_plan.STAGE, configs.Mesh(), "v5e:4x4", grid)
  )
  assert len(tried) == 6
  assert [c.why for c in tried if c.plan is None] == ["40 rows on 16"] * 2
  best = sweep.ranked(tried)
  assert [(p.remat, p.rows.rows) for p in best] == [
    ("projections", 16),
    ("full", 32),
    ("full", 16),
  ]


def test_the_default_grid_keeps_all_chips_busy():
  grid = sweep.default_grid(made_plan.STAGE, "v5e:4x4")
  assert grid.rows == (16, 32)
  assert grid.meshes == ((1, 16, 1), (1, 8, 2), (1, 4, 4))

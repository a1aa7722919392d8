"""The scores at a glance."""

import numpy as np
import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.report import overview
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


@pytest.fixture
def scored(fabricate):
  return {
    task: scores.score_rows(_TABLE[task], fabricate(task, rights))
    for task, rights in (
      ("arig", [True] * 3),
      ("ks", [True, False]),
      ("ucf", [True] * 2),
    )
  }


def test_families_are_means_of_their_tasks_in_canonical_order(scored):
  table = overview.families(scored)
  assert list(table) == ["action", "segmentation"]
  assert table["action"]["value"] == pytest.approx(0.75)
  assert table["action"]["tasks"] == 2
  assert [score.task for score in overview.ordered(scored)] == [
    "ks",
    "ucf",
    "arig",
  ]


def test_a_family_has_a_base_where_all_of_its_tasks_have_one(scored):
  alone = {"ks": 0.25, "ucf": 0.5}
  table = overview.families(scored, alone)
  assert table["action"]["base_alone"] == pytest.approx(0.375)
  assert "base_alone" not in table["segmentation"]
  assert "base_alone" not in overview.families(scored, {"ks": 1.0})["action"]


def test_loss_curves_leave_out_lines_without_a_loss():
  lines = [
    {"stage": "a", "step": 1, "loss": 3.0},
    {"stage": "a", "step": 2, "validation": 1.0},
    {"stage": "a", "step": 3, "loss": 2.0},
    {"stage": "b", "step": 1, "loss": 1.0},
  ]
  curves = overview.loss_curves(lines)
  assert list(curves) == ["a", "b"]
  np.testing.assert_array_equal(curves["a"], [[1, 3], [3, 2]])


def test_only_the_plots_that_there_is_something_for(scored):
  drawn = overview.figures(scored, overview.Artefacts())
  assert list(drawn) == ["score_against_chance"]
  gates = {"decoder": np.full((19, 2), 0.5)}
  metrics = [{"stage": "a", "step": i, "loss": 1.0} for i in range(3)]
  artefacts = overview.Artefacts(metrics=metrics, gates=gates)
  assert list(overview.figures(scored, artefacts)) == [
    "score_against_chance",
    "loss_by_stage",
    "router_gates_decoder",
  ]

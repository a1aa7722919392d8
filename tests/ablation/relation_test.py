"""Families that share heads against families that help each other."""

import dataclasses

import numpy as np
import pytest

from crab_jax.ablation import markdown
from crab_jax.ablation import relation
from tests.ablation import fake_runs

# Two projections of two heads: "ks" uses other heads than the rest.
_GATES = {
  "ks": [1.0, 0.0, 1.0, 0.0],
  "meld": [0.0, 1.0, 0.0, 1.0],
  "cremad": [0.0, 1.0, 0.0, 1.0],
}


def _loss(run, task):
  """Together action's loss falls by a factor of e^0.4, emotion's of e^0.2."""
  if "+" not in run.label:
    return 1.0
  return np.exp(-0.4 if task == "ks" else -0.2)


def _results(gates):
  return fake_runs.results(lambda *_: 0.5, _loss, gates)


def test_disjoint_heads_are_at_distance_one():
  found = relation.family_distances(_results(_GATES), "ilora_e2")
  np.testing.assert_allclose(found, [[0, 1], [1, 0]], atol=1e-6)


def test_a_point_is_a_pair_with_its_mean_gain():
  found = relation.points(_results(_GATES), "ilora_e2")
  assert found.names == ["action + emotion"]
  np.testing.assert_allclose(found.distances, [1], atol=1e-6)
  np.testing.assert_allclose(found.gains, [0.3])
  assert np.isnan(found.correlation)  # of one point


def test_a_method_without_gates_has_no_points():
  assert relation.points(_results(None), "ilora_e2") is None


@pytest.mark.parametrize("seed", [0, 1])
def test_all_seeds_must_have_gates(seed):
  results = _results(_GATES)
  runs = {
    run: {k: v for k, v in found.items() if run.seed != seed or k != "gates"}
    for run, found in results.runs.items()
  }
  part = dataclasses.replace(results, runs=runs)
  assert relation.family_distances(part, "ilora_e2") is None


def test_parting_tells_families_apart_from_datasets():
  found = relation.parting(_results(_GATES), "ilora_e2", "reasoning")
  np.testing.assert_allclose(found, [0, 0, 1], atol=1e-6)
  even = dict.fromkeys(_GATES, [0.5] * 4)
  found = relation.parting(_results(even), "ilora_e2", "reasoning")
  np.testing.assert_allclose(found, [1, 0, 0], atol=1e-6)


def test_a_report_has_a_row_of_gates_for_each_router():
  text = markdown.text(_results(_GATES), [], "plots")
  assert "| ilora_e2 | answer | 0.000 | 0.000 | 1.000 |" in text
  assert "## Gates" not in markdown.text(_results(None), [], "plots")


def test_families_of_one_dataset_have_no_distance_within():
  made = dataclasses.replace(
    _results(_GATES),
    groups={"action": ("ks",), "emotion": ("meld",), "qa": ("cremad",)},
  )
  text = markdown._gate_table(made)
  assert any("| 0.000 | – | 0.667 |" in line for line in text), text

"""Presets of gin/mesh/, compiled for the TPU slices that they name.

Minutes each, so that only two of them are compiled unless all are asked for:

  PRESETS=all python -m pytest -m slow -n 0 tests/planning/compiled_test.py

The figures in the headers of gin/mesh/ are those of `crab_jax.plan`.
"""

import functools
import importlib.util
import math
import os
import pathlib
import re

import pytest

from crab_jax import gin_utils
from crab_jax.planning import report
from tests.planning import bounds
from tests.planning import collectives

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_RECIPE = "gin/crab_plus_7b.gin"
_OTHER_RECIPES = {
  "v5e_1": "gin/crab_plus_3b.gin",
  "v6e_1": "gin/crab_plus_3b.gin",
}
_ALL = sorted(
  path.stem
  for path in (_ROOT / "gin" / "mesh").glob("*.gin")
  if "topology" in path.read_text()  # the others are of no TPU slice
)
_PRESETS = _ALL if os.environ.get("PRESETS") == "all" else ["v5e_16", "v5p_64"]
_ROOMY = "v5e:4x4"  # the slice that must have room to spare
_SPARE = 0.1  # of its chips' memory
# FLOPs that run over those that the mathematics asks for, by what the decoder
# keeps: with "full" the backward pass repeats all of the forward pass, of three parts.
_EXECUTED = {"projections": 1.25, "full": 4 / 3 + 0.05}
_GIB = 2**30

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="needs libtpu, the TPU compiler (extra tpu)",
  ),
]


@functools.cache
def _compiled(preset):
  """The experiment, the plan and the program of a preset."""
  recipe = _OTHER_RECIPES.get(preset, _RECIPE)
  built = gin_utils.experiment([recipe, f"gin/mesh/{preset}.gin"], [])
  (stage,) = built.stages
  found = report.compiled(built.model, stage, built.mesh, built.mesh.topology)
  return built, *found


@pytest.fixture(scope="module", params=_PRESETS)
def compiled(request):
  yield _compiled(request.param)
  _compiled.cache_clear()  # a program's text has many megabytes


def _rows_of_a_chip(built, plan):
  """Packed rows that a chip works on at a time."""
  ways = plan.chips // plan.mesh["tensor"]
  return plan.rows.rows // built.stages[0].accumulate // ways


def test_it_fits(compiled):
  _, plan, _ = compiled
  spare = _SPARE if plan.topology == _ROOMY else 0
  assert plan.memory.peak <= (1 - spare) * plan.memory.hbm
  assert plan.rows.rows >= 16
  assert plan.rows.tokens == 2048


def test_it_costs_no_less_than_it_must(compiled):
  _, plan, module = compiled
  bounds.check(plan, module)


def test_little_is_computed_twice(compiled):
  built, plan, _ = compiled
  assert report.executed_over_model(plan) <= _EXECUTED[built.model.remat]


def test_the_adapter_costs_what_its_equation_says(compiled):
  _, plan, _ = compiled
  once = (plan.costs.adapter - plan.costs.adapter_again) * plan.chips
  assert once == pytest.approx(plan.model_flops.adapter, rel=0.1)


def test_only_supervised_positions_meet_the_vocabulary(compiled):
  """Arrays of width V are the weights, or have so many rows at most."""
  built, plan, module = compiled
  sizes, tensor = built.model.decoder, plan.mesh["tensor"]
  wide = {sizes.vocabulary, sizes.vocabulary // tensor}
  most = _rows_of_a_chip(built, plan) * plan.rows.supervised
  seen = 0
  for scope in module.computations.values():
    for line in scope.values():
      for array in line.arrays:
        if not wide & set(array.sizes):
          continue
        others = math.prod(array.sizes) / max(wide & set(array.sizes))
        weight = sizes.width % others == 0 and array.kind != "f32"
        assert weight or others <= most, f"{array} of {line.op_name}"
        seen += 1
  assert seen


def test_no_activation_of_a_product_travels(compiled):
  """Tokens travel at the width D at most: never F columns, never E heads."""
  built, plan, module = compiled
  sizes, adapter = built.model.decoder, built.model.adapter
  lengths = {
    plan.rows.tokens,
    built.model.vision.unit_positions,
    built.model.audio.unit_positions,
  }
  moved = collectives.arrays(module)
  assert moved or plan.chips == 1
  for kind, array, name in moved:
    tokens = lengths & set(array.sizes)
    if not tokens:
      continue
    assert adapter.heads not in array.sizes, f"{kind} {array} of {name}"
    assert sizes.mlp not in array.sizes, f"{kind} {array} of {name}"


def test_its_header_says_so(compiled, request):
  """Memory and FLOPs stand in the header as the compiler gave them."""
  _, plan, _ = compiled
  preset = request.node.callspec.params["compiled"]
  text = (_ROOT / "gin" / "mesh" / f"{preset}.gin").read_text()
  peak, ratio = (
    float(re.search(rf"{name} +([\d.]+)", text).group(1))
    for name in ("peak", "executed/model FLOPs")
  )
  assert plan.memory.peak / _GIB == pytest.approx(peak, rel=0.02)
  assert report.executed_over_model(plan) == pytest.approx(ratio, rel=0.02)

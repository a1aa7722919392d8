"""Every recipe on every slice: it parses, builds and can be sharded."""

import pathlib

import pytest

from crab_jax import gin_utils
from crab_jax.planning import chips
from crab_jax.training import sharding

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SLICES = sorted((_ROOT / "gin" / "mesh").glob("*v[0-9]*.gin"))
_RECIPES = ("crab_plus_7b", "crab_plus_3b")


def _build(recipe, mesh):
  files = [f"gin/{recipe}.gin", f"gin/mesh/{mesh}.gin"]
  return gin_utils.experiment(files, [])


@pytest.fixture(scope="module")
def boxes():
  found = {}
  for recipe in _RECIPES:
    model = _build(recipe, "v5e_16").model
    found[recipe] = sharding.boxes(model)
  return found


@pytest.mark.parametrize("recipe", _RECIPES)
@pytest.mark.parametrize("path", _SLICES, ids=lambda path: path.stem)
def test_a_recipe_fits_a_slice(recipe, path, boxes):
  built = _build(recipe, path.stem)
  chip, count = chips.of_topology(built.mesh.topology)
  slices = f"{built.mesh.slices}x_" if built.mesh.slices > 1 else ""
  assert path.stem == f"{slices}{chip.name}_{count}"
  shape = sharding.mesh_shape(built.mesh, count * built.mesh.slices)
  sizes = dict(zip(sharding.AXES, shape, strict=True))
  rules = sharding.rules_of(built.mesh)
  for name, box in boxes[recipe].items():
    sharding.spec(name, box.names, box.value.shape, rules, sizes)
  (stage,) = built.stages
  micro = stage.rows.rows // stage.accumulate
  assert micro % (sizes["data"] * sizes["fsdp"]) == 0


def test_the_laptop_mesh_joins_the_base():
  built = gin_utils.experiment(["gin/base.gin", "gin/mesh/cpu8.gin"], [])
  assert sharding.mesh_shape(built.mesh, 8) == (2, 2, 2)
  assert all(s.rows.rows % 4 == 0 for s in built.stages)


@pytest.mark.parametrize("recipe", _RECIPES)
def test_a_recipe_is_the_official_one(recipe):
  built = _build(recipe, "v5e_16")
  adapter, (stage,) = built.model.adapter, built.stages
  assert (adapter.rank, adapter.heads, adapter.alpha) == (128, 3, 256.0)
  assert adapter.dropout == 0.1
  optimizer = stage.optimizer
  assert (optimizer.peak, optimizer.warmup, optimizer.final) == (1e-4, 0.03, 0)
  assert (optimizer.b1, optimizer.b2, optimizer.eps) == (0.9, 0.999, 1e-8)
  assert (optimizer.weight_decay, optimizer.clip) == (0, 1.0)
  assert stage.trains == "adapter"
  assert built.world is None

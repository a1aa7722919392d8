"""The frozen base: in int8, and what is written of it at the end."""

import dataclasses
import types

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.experiment import parameters
from crab_jax.models import ilora
from crab_jax.models import quantised
from crab_jax.paradigms import thinker
from crab_jax.planning import aot
from crab_jax.training import model_folder
from crab_jax.training import sharding
from crab_jax.weights import adapter
from tests.models import random_parameters

_FLOAT = configs.tiny(adapter=configs.ILora(rank=4), remat="full")
_INT8 = dataclasses.replace(_FLOAT, frozen_dtype="int8")
_STAGE = configs.Stage(
  name="t", steps=5, trains="adapter", rows=configs.Rows(rows=8)
)


def _flat(tree):
  return flax.traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def base():
  return random_parameters.draw(dataclasses.replace(_FLOAT, adapter=None))


def _runner(model):
  mesh = configs.Mesh(strategy="mesh", data=1, fsdp=4, tensor=2)
  return aot.runner(model, _STAGE, mesh)


def test_int8_is_made_in_parts_and_lies_as_the_kernels_did(base):
  runner = _runner(_INT8)
  placed = runner.shard(base)
  found = _flat(parameters.stored(_INT8, placed, runner))
  whole = _flat(quantised.fit(base, _INT8))
  assert found.keys() == whole.keys()
  for path, leaf in _flat(placed).items():
    assert found[path].sharding == leaf.sharding, path
  for path, leaf in found.items():
    error = np.abs(np.asarray(leaf, np.float32) - whole[path]).max()
    # A scale may differ in its last bit, and a value on the edge by a step.
    assert error <= (leaf.dtype == jnp.int8) + 1e-6, path
  kernel = found["model/layers/mlp/up_proj/kernel"]
  assert kernel.dtype == jnp.int8
  assert kernel.addressable_shards[0].data.size * 8 == kernel.size


def test_the_same_rules_place_float_and_int8():
  sizes = dict(zip(sharding.AXES, (1, 16, 1), strict=True))
  model = configs.qwen2_5_omni_7b(adapter=configs.ILora())
  narrow = dataclasses.replace(model, frozen_dtype="int8")
  found, wanted = (
    sharding.parameter_specs(m, sizes, sharding.RULES) for m in (narrow, model)
  )
  scales = found.keys() - wanted.keys()
  assert scales and all(path.endswith("kernel_scale") for path in scales)
  assert all(found[path] == wanted[path] for path in wanted)


def test_int8_takes_half_the_memory():
  model = configs.qwen2_5_omni_7b()
  narrow = dataclasses.replace(model, frozen_dtype="int8")
  full, half = (
    sum(
      leaf.size * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(nn.meta.unbox(thinker.abstract(m)))
    )
    for m in (model, narrow)
  )
  tables = 2 * 2 * 152064 * 3584  # embeddings and lm_head stay as they are
  assert (half - tables) / (full - tables) == pytest.approx(0.5, abs=0.01)


def test_a_base_in_int8_is_not_taken_for_another(base):
  made = quantised.fit(base, _INT8)
  assert parameters.stored(_INT8, made, None) is made
  with pytest.raises(errors.UserError, match="Model.frozen_dtype"):
    parameters.stored(_FLOAT, made, None)
  assert parameters.stored(_FLOAT, base, None) is base


def test_the_base_itself_never_trains_in_int8():
  experiment = configs.Experiment(
    model=_INT8, stages=[_STAGE], records="records"
  )
  whole = dataclasses.replace(_STAGE, trains="all")
  assert parameters.stage_model(experiment, _STAGE).frozen_dtype == "int8"
  assert parameters.stage_model(experiment, whole).frozen_dtype is None


@pytest.fixture
def given(base, tmp_path):
  """An experiment on a base, its parameters with an adapter, its workspace."""
  folder = tmp_path / "given"
  plain = dataclasses.replace(_FLOAT, adapter=None)
  model_folder.save(folder, base, plain, {})
  experiment = configs.Experiment(
    model=_FLOAT, stages=[_STAGE], records="records", base=str(folder)
  )
  workdir = tmp_path / "run"
  workdir.mkdir()
  (workdir / "tokenizer.json").write_text("{}")
  records = types.SimpleNamespace(table=tasks.Tasks(()))
  workspace = types.SimpleNamespace(workdir=workdir, records=records)
  return experiment, random_parameters.draw(_FLOAT), workspace


def _with(params, base):
  """The parameters, those of the base as given."""
  return flax.traverse_util.unflatten_dict(_flat(params) | _flat(base), sep="/")


def test_a_base_that_no_stage_changed_is_named(base, given):
  experiment, params, workspace = given
  params = _with(params, base)
  begun_with = parameters.origin(experiment, base)
  parameters.keep(experiment, params, begun_with, workspace)
  kept = workspace.workdir / "base"
  assert not (kept / "params").exists()
  found = model_folder.load_params(kept)
  jax.tree.map(np.testing.assert_array_equal, found, base)
  tuned, _ = adapter.load(workspace.workdir / "adapter", _FLOAT, found)
  assert ilora.leaves(tuned)


@pytest.mark.parametrize("change", ["kernel", "int8"])
def test_a_base_that_a_stage_changed_is_written(base, given, change):
  experiment, _, workspace = given
  changed = dict(_flat(base))
  path = "model/layers/mlp/up_proj/kernel"
  changed[path] = changed[path] + 1e-3
  changed = flax.traverse_util.unflatten_dict(changed, sep="/")
  if change == "int8":
    changed = quantised.fit(base, _INT8)
  begun_with = parameters.origin(experiment, base)
  parameters.keep(experiment, changed, begun_with, workspace)
  found = model_folder.load_params(workspace.workdir / "base")
  jax.tree.map(np.testing.assert_array_equal, found, changed)

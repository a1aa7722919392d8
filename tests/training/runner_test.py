"""Both strategies speak the whole protocol, and a configuration chooses one."""

import inspect
import pathlib

import jax
import numpy as np
import optax
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import meshed
from crab_jax.training import model_folder
from crab_jax.training import pmapped
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib

_KINDS = {"pmap": pmapped.PmapRunner, "mesh": meshed.MeshRunner}
_METHODS = [
  name
  for name, value in vars(runner_lib.Runner).items()
  if inspect.isfunction(value) and not name.startswith("_")
]
_PACKAGE = pathlib.Path(runner_lib.__file__).parents[1]


def _likelihood(params, batch, key):
  del key
  return (batch["labels"] - params["scale"]["kernel"][0]) ** 2


def _build(strategy, rows=8):
  return runner_lib.build(
    rows,
    1,
    mesh=configs.Mesh(strategy=strategy),
    model=configs.tiny(),
    likelihood=_likelihood,
    optimizer=optax.sgd(0.5),
    tasks=2,
  )


def _batch(value):
  return {
    "tasks": np.zeros((8, 3), np.int32),
    "supervised": np.zeros((8, 1), np.int32),
    "labels": np.full((8, 1), value, np.float32),
    "weights": np.ones((8, 1), np.float32),
  }


def _tree():
  return {"scale": {"kernel": np.arange(2.0, dtype=np.float32)[:1]}}


@pytest.mark.parametrize("strategy", _KINDS)
def test_the_configuration_chooses_the_runner(strategy):
  assert type(_build(strategy)) is _KINDS[strategy]


def test_rows_must_fit_the_devices():
  with pytest.raises(errors.UserError, match="Rows.rows=7"):
    _build("pmap", rows=7)


@pytest.mark.parametrize("kind", _KINDS.values())
@pytest.mark.parametrize("method", _METHODS)
def test_a_strategy_has_every_method_with_its_arguments(kind, method):
  wanted = inspect.signature(getattr(runner_lib.Runner, method))
  found = inspect.signature(getattr(kind, method))
  assert list(found.parameters) == list(wanted.parameters)


def test_a_runner_of_half_the_protocol_is_none():
  class Half:
    def step(self, state, frozen, batch, key): ...

  assert not isinstance(Half(), runner_lib.Runner)
  assert isinstance(_build("pmap"), runner_lib.Runner)


@pytest.mark.parametrize("strategy", _KINDS)
def test_the_way_of_a_state_through_a_runner(strategy):
  """Made, sharded, stepped, measured, inspected, saved and restored."""
  runner = _build(strategy)
  state = runner.init_sharded(
    lambda leaves: state_lib.create(leaves, optax.sgd(0.5)), _tree()
  )
  like = runner.to_restore(state)
  shape = like.params["scale"]["kernel"]
  assert isinstance(shape, jax.ShapeDtypeStruct)
  assert (shape.shape, shape.sharding is None) == ((1,), False)
  state, frozen = runner.shard(state), runner.shard({})
  state, sums = runner.step(
    state, frozen, runner.shard_batch(_batch(1)), jax.random.key(0)
  )
  # A step of 0.5 along 2 (guess - label) from 0, where all labels are 1.
  assert np.ravel(sums["loss"])[0] == 1
  np.testing.assert_array_equal(runner.fetch(state.params), {
    "scale": {"kernel": [1.0]}
  })  # fmt: skip
  sums = runner.make_eval_step(_likelihood, 2)(state.params, frozen, _batch(3))
  assert (sums["nll"], sums["tokens"]) == (8 * 4, 8)
  found = runner.inspect(
    lambda params, batch: float(
      params["scale"]["kernel"][0] + batch["labels"].sum()
    ),
    state,
    frozen,
    _batch(2),
  )
  assert found == 17
  saved = runner.to_save(state)
  assert saved.params["scale"]["kernel"].shape == (1,)
  again = runner.fetch(runner.shard(saved))
  jax.tree.map(np.testing.assert_array_equal, again, runner.fetch(state))


@pytest.mark.parametrize("strategy", _KINDS)
def test_the_parameters_of_a_folder_come_to_the_runner(strategy, tmp_path):
  runner = _build(strategy)
  model_folder.save(tmp_path / "model", _tree(), configs.tiny(), {})
  params = runner.load_params(tmp_path / "model")
  np.testing.assert_array_equal(
    runner.fetch(runner.shard(params))["scale"]["kernel"],
    _tree()["scale"]["kernel"],
  )


def test_nobody_else_asks_which_strategy_it_is():
  """Only the builders of runners and of generation's layout know."""
  asked = {
    str(path.relative_to(_PACKAGE))
    for path in _PACKAGE.rglob("*.py")
    for line in path.read_text().splitlines()
    if ".strategy ==" in line or ("isinstance(" in line and "runner" in line)
  }
  assert asked == {"training/runner.py", "training/generation_sharding.py"}

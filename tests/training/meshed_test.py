"""The mesh strategy does what pmap does, with parts of the model on a device."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax import errors
from crab_jax.paradigms import thinker
from crab_jax.planning import hlo
from crab_jax.routers import statistics as router_statistics
from crab_jax.training import generation_sharding
from crab_jax.training import losses
from crab_jax.training import meshed
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import sharding
from crab_jax.training import state as state_lib
from crab_jax.weights import adapter
from tests.models import random_parameters
from tests.planning import collectives

_STEPS = 20
# Of a loss near 8: float32 rounding of sums in another order, kept small by a
# low learning rate so that it cannot grow through Adam's first steps.
_TOLERANCE = 3e-6
_ROWS = configs.Rows(
  rows=8, tokens=24, frame_pairs=1, chunks=1, supervised=6, samples=2
)


def _model(**changes):
  """Two layers a stack; 2 kv heads, so that tensor=4 does not divide them."""
  tiny = configs.tiny(adapter=configs.ILora(rank=8, alpha=16.0, dropout=0.0))
  small = {
    "layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "mlp": 96,
    "head_size": 16, "rope_sections": (2, 3, 3), "vocabulary": 256,
  }  # fmt: skip
  return configs.Model(
    audio=configs.AudioTower(
      bins=8, layers=1, width=32, heads=2, mlp=64, unit_frames=40, pool=10
    ),
    vision=configs.VisionTower(
      frame_size=112,
      layers=1,
      width=32,
      heads=2,
      mlp=64,
      patch=28,
      full_blocks=(0,),
    ),  # fmt: skip
    decoder=configs.Decoder(**small),
    adapter=tiny.adapter,
    compute_dtype="float32",
    param_dtype="float32",
    **{"remat": "full", **changes},
  )


_MODEL = _model()


def _arguments(model=_MODEL):
  return {
    "likelihood": losses.likelihood(model),
    "optimizer": optim.optimizer(configs.Optimizer(peak=1e-4), _STEPS),
    "tasks": 19,
  }


def _meshed(shape, accumulate=1, model=_MODEL, rows=_ROWS.rows, **arguments):
  data, fsdp, tensor = shape
  mesh = configs.Mesh(strategy="mesh", data=data, fsdp=fsdp, tensor=tensor)
  arguments = {**_arguments(model), **arguments}
  return meshed.MeshRunner(
    rows, accumulate, mesh=mesh, model=model, **arguments
  )


@pytest.fixture(scope="module")
def start():
  """State and frozen leaves on this host, B no longer zero."""
  params = random_parameters.draw(_MODEL)
  trained, frozen = state_lib.split(params, "adapter")
  rng = np.random.default_rng(0)
  trained = jax.tree.map(
    lambda x: x + 0.02 * rng.standard_normal(x.shape, np.float32), trained
  )
  return state_lib.create(trained, _arguments()["optimizer"]), frozen


def _init(runner):
  """A state and frozen leaves with random weights, every part on its device."""
  optimizer = _arguments()["optimizer"]
  return runner.init_sharded(
    lambda key: state_lib.init(key, _MODEL, optimizer, "adapter"),
    jax.random.key(0),
  )


def _losses(runner, start, steps=_STEPS):
  state, frozen = (runner.shard(part) for part in start)
  key, found = jax.random.key(1), []
  for step in range(steps):
    batch = runner.shard_batch(batch_lib.random(_MODEL, _ROWS, seed=step))
    state, sums = runner.step(state, frozen, batch, key)
    found.append(float(np.ravel(np.asarray(sums["loss"]))[0]))
  return found, runner.fetch(state)


@pytest.fixture(scope="module")
def reference(start):
  return _losses(pmapped.PmapRunner(_ROWS.rows, 1, **_arguments()), start)


@pytest.mark.parametrize(
  "shape",
  [
    (2, 2, 2),
    pytest.param((1, 8, 1), marks=pytest.mark.slow),
    pytest.param((8, 1, 1), marks=pytest.mark.slow),
    pytest.param((1, 2, 4), marks=pytest.mark.slow),  # 2 kv heads, 4 ways
    pytest.param((1, 1, 8), marks=pytest.mark.slow),  # 4 heads, 8 ways
  ],
)
def test_losses_are_those_of_pmap(shape, start, reference):
  before = jax.tree.map(np.copy, jax.device_get(start[0]))
  runner = _meshed(shape)
  found, state = _losses(runner, start)
  assert runner._step._cache_size() == 1  # the second step compiles nothing
  np.testing.assert_allclose(found, reference[0], rtol=_TOLERANCE)
  assert found[-1] < found[0] - 1e-3  # it does train
  assert state.step == _STEPS
  jax.tree.map(np.testing.assert_array_equal, before, start[0])  # not freed
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state, reference[1])
  assert max(jax.tree.leaves(moved.params)) < 2e-5


@pytest.mark.slow
def test_micro_batches_give_the_same_losses(start, reference):
  found, _ = _losses(_meshed((1, 4, 2), accumulate=2), start, steps=4)
  np.testing.assert_allclose(found, reference[0][:4], rtol=_TOLERANCE)


def _moved(shape):
  """(kind, sizes, op_name) of what the step's collectives write."""
  runner = _meshed(shape)
  batch = batch_lib.abstract(_MODEL, _ROWS)
  text = runner.lower("adapter", batch).compile().as_text()
  return [
    (kind, array.sizes, name)
    for kind, array, name in collectives.arrays(hlo.parse(text))
  ]


def test_weights_come_to_the_rows(monkeypatch):
  """No product's rows travel; the table of embeddings stays in its parts."""
  monkeypatch.setattr(sharding, "SMALL", 1024)  # split what 7B would split
  sizes, adapter = _MODEL.decoder, _MODEL.adapter
  tokens = (_ROWS.tokens, _MODEL.vision.unit_positions, 20)
  moved = _moved((1, 8, 1))
  assert any(kind == "all-gather" for kind, _, _ in moved)
  for kind, found, name in moved:
    if "transpose" not in name and "embed_tokens" in name:
      assert sizes.vocabulary not in found, (kind, found, name)
    if set(tokens) & set(found):
      assert not {sizes.mlp, adapter.heads} & set(found), (kind, found, name)


@pytest.fixture(scope="module")
def in_parts():
  """A runner, and the state and frozen leaves that it has initialised."""
  runner = _meshed((1, 4, 2))
  return runner, *_init(runner)


def test_a_state_is_initialised_in_parts(in_parts):
  runner, state, frozen = in_parts
  expected = runner.abstract("adapter")
  for made, wanted in zip(
    jax.tree.leaves((state, frozen)), jax.tree.leaves(expected), strict=True
  ):
    assert made.sharding == wanted.sharding
    assert (made.shape, made.dtype) == (wanted.shape, wanted.dtype)
  table = frozen["model"]["embed_tokens"]["weight"]
  assert table.addressable_shards[0].data.size * 8 == table.size


@pytest.mark.slow
def test_initialised_in_parts_equals_initialised_whole(in_parts):
  runner, state, parts = in_parts
  whole = jax.jit(lambda k: nn.meta.unbox(thinker.init(k, _MODEL)))
  trained, frozen = state_lib.split(whole(jax.random.key(0)), "adapter")
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
    runner.fetch((state.params, parts)),
    jax.device_get((trained, frozen)),
  )


class _Counted:
  """An array of a file: notes how much of it is read at a time."""

  def __init__(self, array):
    self.array, self.shape, self.most = array, array.shape, 0

  def __getitem__(self, index):
    part = self.array[index]
    self.most = max(self.most, part.size)
    return part


def test_sharding_reads_a_part_at_a_time():
  leaf = _Counted(np.arange(256.0 * 64, dtype=np.float32).reshape(256, 64))
  runner = _meshed((1, 4, 2))
  placed = runner.shard({"model": {"embed_tokens": {"weight": leaf}}})
  assert leaf.most * 8 == leaf.array.size
  np.testing.assert_array_equal(
    placed["model"]["embed_tokens"]["weight"], leaf.array
  )


def test_an_inspection_sees_all_parameters_and_the_global_batch(start):
  """On the mesh, with the rules by which its parts are split."""
  runner = _meshed((2, 2, 2))
  state, frozen = (runner.shard(part) for part in start)
  batch = batch_lib.random(_MODEL, _ROWS, seed=3)
  rules = []

  def look(params, batch):
    rules.append(nn.get_logical_axis_rules())
    assert jax.sharding.get_mesh() == runner.mesh
    return jax.tree.map(np.asarray, (params, batch["tokens"]))

  params, tokens = runner.inspect(look, state, frozen, batch)
  whole = state_lib.merge(start[0].params, start[1])
  jax.tree.map(np.testing.assert_array_equal, params, whole)
  np.testing.assert_array_equal(tokens, batch["tokens"])
  assert rules[0]


@pytest.mark.slow
def test_the_routers_over_a_mesh_say_what_they_say_on_one_device(start):
  runner = _meshed((2, 2, 2))
  state, frozen = (runner.shard(part) for part in start)
  batch = batch_lib.random(_MODEL, _ROWS, seed=3)
  collector = router_statistics.Collector(_MODEL, 2)
  found = runner.inspect(collector, state, frozen, batch)
  alone = collector(state_lib.merge(start[0].params, start[1]), batch)
  np.testing.assert_array_equal(found.tokens, alone.tokens)
  for name, sums in alone.sums.items():
    np.testing.assert_allclose(found.sums[name], sums, rtol=1e-4, atol=1e-4)


def test_rows_must_fit_the_mesh():
  with pytest.raises(errors.UserError, match="multiple of .* 4 times"):
    _meshed((2, 2, 2), rows=6)


_HOST = """
import json, sys
import jax
jax.config.update("jax_cpu_collectives_implementation", "gloo")
host, port = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(f"localhost:{port}", 2, host)
from jax.experimental import multihost_utils
# Whatever fetches an array of all hosts to one would end this.
multihost_utils.process_allgather, gather = None, multihost_utils.process_allgather
from crab_jax.training import hosts
from crab_jax.weights import adapter
from tests.training import meshed_test as test
runner = test._meshed((1, 8, 1))
state, frozen = test._init(runner)
own = [test._own_copy(frozen, split) for split in ("mesh", "pmap")]
multihost_utils.process_allgather = gather
mark = adapter.fingerprint(frozen, values_at=hosts.values_at)
print(json.dumps([mark, test._host_losses(runner, state, frozen, host, 2), own]))
"""


def _own_copy(frozen, strategy):
  """Fingerprint of what generation has on this process; how it is split."""
  layout = generation_sharding.local(configs.Mesh(strategy=strategy), _MODEL)
  params = layout.shard(frozen)
  jax.tree.map(
    lambda leaf, wanted: (
      leaf.sharding.is_equivalent_to(wanted, leaf.ndim)
      or pytest.fail(f"{leaf.sharding} is not {wanted}")
    ),
    params,
    layout.shardings(params),
  )
  table = params["model"]["embed_tokens"]["weight"]
  whole = jax.tree.map(np.asarray, params)
  parts = table.size // table.addressable_shards[0].data.size
  return [adapter.fingerprint(whole), parts]


def _host_losses(runner, state, frozen, host, hosts):
  """Losses of three steps; every host puts in its own rows."""
  found = []
  for step in range(3):
    batch = batch_lib.random(_MODEL, _ROWS, seed=step)
    share = _ROWS.rows // hosts
    batch = {
      name: leaf[host * share : (host + 1) * share]
      for name, leaf in batch.items()
    }
    state, sums = runner.step(
      state, frozen, runner.shard_batch(batch), jax.random.key(1)
    )
    found.append(float(sums["loss"]))
  return found


@pytest.mark.slow
def test_two_processes_equal_one():
  root = pathlib.Path(__file__).resolve().parents[2]
  port = str(20000 + os.getpid() % 20000)
  environment = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    "PYTHONPATH": str(root),
  }
  hosts = [
    subprocess.Popen(
      [sys.executable, "-c", _HOST, str(host), port],
      stdout=subprocess.PIPE,
      env=environment,
      text=True,
    )
    for host in range(2)
  ]
  found = [
    json.loads(host.communicate(timeout=600)[0].splitlines()[-1])
    for host in hosts
  ]
  assert found[0] == found[1]
  runner = _meshed((1, 8, 1))
  state, frozen = _init(runner)
  one = _host_losses(runner, state, frozen, 0, 1)
  np.testing.assert_allclose(found[0][1], one, rtol=_TOLERANCE)
  # No host of the two has all values that it is made of.
  whole = adapter.fingerprint(jax.tree.map(np.asarray, frozen))
  assert found[0][0] == whole
  # To decode, each has a copy: four devices share the two kv heads, or each has all.
  assert found[0][2] == [[whole, 2], [whole, 1]]

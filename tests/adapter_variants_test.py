"""Every router keeps what an adapter promises to the rest of the package.

Its parameters and FLOPs are those that `configs.ILora` says, all of them
train, diagnostics and generation see it, and a saved adapter comes back. A new
router in `configs.ilora.ROUTERS` is tested with no change here.
"""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax import errors
from crab_jax.configs import ilora as settings
from crab_jax.models import ilora
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker
from crab_jax.planning import flops
from crab_jax.routers import monitor
from crab_jax.training import losses
from crab_jax.training import optim
from crab_jax.training import state as state_lib
from crab_jax.training import step
from crab_jax.weights import adapter as adapter_folder
from crab_jax.weights import official
from tests.models import random_parameters

_TASKS = 3
_SMALL = configs.Model(
  audio=configs.AudioTower(
    bins=4, layers=1, width=16, heads=2, mlp=16, unit_frames=8
  ),
  vision=configs.VisionTower(
    frame_size=8,
    patch=2,
    window=4,
    layers=1,
    width=16,
    heads=2,
    mlp=16,
    full_blocks=(0,),
  ),
  decoder=configs.Decoder(
    layers=2,
    width=16,
    heads=4,
    kv_heads=2,
    head_size=8,
    mlp=16,
    vocabulary=32,
    rope_sections=(2, 1, 1),
  ),
  compute_dtype="float32",
  param_dtype="float32",
  remat="full",
)
_TEXT, _ALL = 10, 12  # tokens of a prompt; with its answer


@pytest.fixture(scope="module", params=settings.ROUTERS)
def model(request):
  lora = configs.ILora(
    rank=2,
    heads=3,
    alpha=4.0,
    dropout=0.0,
    router=request.param,
    tasks=_TASKS,
  )
  return dataclasses.replace(_SMALL, adapter=lora)


@pytest.fixture(scope="module")
def params(model):
  return random_parameters.draw(model, b=0.3)


@pytest.fixture(scope="module")
def batch(model):
  """Two rows of two tasks: text, a frame pair, a chunk, text, the answer."""
  rng = np.random.default_rng(0)
  made = batch_lib.empty(
    model,
    configs.Rows(2, 16, frame_pairs=1, chunks=1, supervised=3, samples=1),
  )
  made["tokens"][:] = rng.integers(1, 32, made["tokens"].shape)
  made["segments"][:, :_ALL] = 1
  made["kinds"][:, :_ALL] = 1
  made["tasks"][:, :_ALL] = [[0], [2]]
  made["positions"][:] = np.arange(16)[None, :, None]
  made["source"][:, 2:8] = np.arange(6)
  made["frames"][:] = rng.integers(0, 256, made["frames"].shape)
  made["mel"][:] = rng.standard_normal(made["mel"].shape)
  made["mel_lengths"][:] = 8
  made["supervised"][:] = [9, 10, 11]
  made["labels"][:] = rng.integers(0, 32, (2, 3))
  made["weights"][:] = 1
  return made


def test_parameters_and_flops_are_what_the_settings_say(model):
  adapter = model.adapter
  shapes = nn.meta.unbox(thinker.abstract(model))
  flat = flax.traverse_util.flatten_dict(shapes, sep="/")
  for path, projection in ilora.projections(shapes).items():
    layers, *sizes = flat[f"{path}/kernel"].shape
    own = [flat[f"{path}/{name}"] for name in adapter.shapes(*sizes)]
    assert sum(leaf.size for leaf in own) == layers * adapter.parameters(*sizes)
    assert projection.b.shape[-1] == sizes[1]
  names = {path.rpartition("/")[2] for path in ilora.leaves(shapes)}
  assert names == set(adapter.shapes(1, 1))
  rows = configs.Rows(rows=2, tokens=16)
  counted = flops.train_step(model, rows, "adapter").adapter
  plain = dataclasses.replace(adapter, heads=1)
  plain = dataclasses.replace(model, adapter=plain)
  assert counted > flops.train_step(plain, rows, "adapter").adapter


def test_all_its_parameters_train(model, params, batch):
  trained, frozen = state_lib.split(params, "adapter")
  optimizer = optim.optimizer(configs.Optimizer(peak=1e-3, warmup=0.0), 4)
  state = state_lib.create(trained, optimizer)

  @jax.jit
  def run(state):
    return step.train_step(
      state,
      frozen,
      batch,
      jax.random.key(0),
      likelihood=losses.likelihood(model),
      optimizer=optimizer,
      tasks=_TASKS,
    )

  found = []
  for _ in range(3):
    state, metrics = run(state)
    found.append(float(metrics["loss"]))
  assert np.isfinite(found).all()
  assert found[2] < found[0]
  for name in model.adapter.shapes(1, 1):
    assert metrics[f"gradient_norm/{name}"] > 0
  before, after = ilora.leaves(trained), ilora.leaves(state.params)
  for path, leaf in after.items():
    assert np.any(np.asarray(leaf) != before[path]), path


def test_the_heads_weigh_1_together_where_the_settings_say_so(model):
  logits = np.random.default_rng(0).normal(size=(5, model.adapter.heads))
  gates = np.asarray(ilora.gates_of(logits, model.adapter.router))
  sums_to_1 = np.allclose(gates.sum(-1), 1)
  assert sums_to_1 == model.adapter.is_mixture


def test_diagnostics_see_what_is_applied(model, params, batch):
  router_monitor = monitor.of(model, _TASKS)
  if not model.adapter.routes:
    assert router_monitor is None
    return
  found = router_monitor(params, batch)
  for tower in ("language model", "vision tower", "audio tower"):
    entropy = found[f"router/{tower}/entropy"]
    assert -1e-6 < entropy <= 1
    assert (entropy < 1e-6) == (model.adapter.router == "top1")
    assert 1 / 3 <= found[f"router/{tower}/top_win"] <= 1
    assert 1 / 3 <= found[f"router/{tower}/largest_50"] <= 1


def test_decoding_equals_the_forward_pass(model, params, batch):
  """Greedy tokens are the most probable ones after prompt and answer."""
  prompt = {name: np.array(leaf) for name, leaf in batch.items()}
  prompt["segments"][:, _TEXT:] = 0
  prompt["tasks"][:, _TEXT:] = -1
  sampling = generate.Sampling(max_new_tokens=3)
  answers = generate.Generator(model, sampling)(params, prompt).tokens
  whole = {name: np.array(leaf) for name, leaf in batch.items()}
  whole["tokens"][:, _TEXT:_ALL] = answers[:, :2]
  # Without jit every scan and operation would be compiled by itself.
  forward = jax.jit(
    lambda p, b: thinker.Thinker(model).apply({"params": p}, b, method="logits")
  )
  logits = forward(params, whole)
  wanted = np.argmax(logits[:, _TEXT - 1 : _ALL], -1)
  np.testing.assert_array_equal(answers, wanted)


def test_a_saved_adapter_comes_back(model, params, tmp_path):
  folder = tmp_path / "adapter"
  adapter_folder.save(folder, params, model.adapter)
  bare = dataclasses.replace(model, adapter=None)
  loaded, again = adapter_folder.load(folder, bare)
  assert again == model
  expected, found = ilora.leaves(params), ilora.leaves(loaded)
  assert found.keys() == expected.keys()
  for path, leaf in expected.items():
    assert found[path].tobytes() == leaf.tobytes()


def test_the_official_file_is_refused_by_name(model, params, tmp_path):
  router = model.adapter.router
  if router in ("token", "uniform"):
    assert model.adapter.official_obstacle is None
    return
  with pytest.raises(errors.UserError, match=f'router="{router}"') as caught:
    official.write(tmp_path / "w.bin", params, model.adapter)
  assert "\n" not in str(caught.value)
  assert not (tmp_path / "w.bin").exists()

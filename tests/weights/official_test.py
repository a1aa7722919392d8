"""The official adapter file, in and out, bit for bit."""

import dataclasses
import pathlib
import runpy

import flax.traverse_util
import ml_dtypes
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.models import ilora
from crab_jax.paradigms import thinker
from crab_jax.weights import adapter
from crab_jax.weights import module_sizes
from crab_jax.weights import official
from crab_jax.weights import torch_file

files = runpy.run_path(
  str(pathlib.Path(__file__).with_name("checkpoint_files.py"))
)
_BF16 = np.dtype(ml_dtypes.bfloat16)
# module -> (in, out) of the tiny checkpoint, in the order of the file.
_TOWERS = (
  ("audio_tower.layers", 2, {f"self_attn.{x}_proj": (16, 16) for x in "kvq"}),
  (
    "visual.blocks",
    3,
    {
      "mlp.gate_proj": (16, 12),
      "mlp.up_proj": (16, 12),
      "mlp.down_proj": (12, 16),
    },
  ),
  (
    "model.layers",
    3,
    {
      "self_attn.q_proj": (24, 24),
      "self_attn.k_proj": (24, 12),
      "self_attn.v_proj": (24, 12),
      "self_attn.o_proj": (24, 24),
      "mlp.gate_proj": (24, 28),
      "mlp.up_proj": (24, 28),
      "mlp.down_proj": (28, 24),
    },
  ),
)


def _file(rank=4, heads=3, dtype=_BF16, towers=_TOWERS, seed=0):
  """The tensors of an official file, named by hand from its description."""
  rng = np.random.default_rng(seed)
  shapes = {}
  for prefix, layers, modules in towers:
    for layer in range(layers):
      for module, (inputs, outputs) in modules.items():
        name = f"base_model.model.{prefix}.{layer}.{module}"
        shapes[f"{name}.lora_route.weight"] = (heads, inputs)
        shapes[f"{name}.lora_A.weight"] = (rank, inputs)
        for head in range(heads):
          shapes[f"{name}.lora_B{head}.weight"] = (outputs, rank)
  return {
    name: rng.standard_normal(shape).astype(dtype)
    for name, shape in shapes.items()
  }


def _read(tmp_path, tensors, base=None, alpha=None):
  torch_file.write(tmp_path / "finetune_weights.bin", tensors)
  return official.read(tmp_path / "finetune_weights.bin", base, alpha)


def _bits(tensors):
  return {
    name: (tensor.dtype, tensor.shape, tensor.tobytes())
    for name, tensor in tensors.items()
  }


@pytest.mark.parametrize("dtype", [_BF16, np.dtype(np.float32)])
@pytest.mark.parametrize("heads", [2, 3])
def test_theirs_to_ours_and_back(tmp_path, dtype, heads):
  theirs = _file(heads=heads, dtype=dtype)
  params, config = _read(tmp_path, theirs)
  adapter.save(tmp_path / "ours", params, config)
  params, config, _ = adapter.read(tmp_path / "ours")
  official.write(tmp_path / "back.bin", params, config)
  back = torch_file.read(tmp_path / "back.bin")
  assert list(back) == list(theirs)  # the order, too
  assert _bits(back) == _bits(theirs)
  assert (config.rank, config.heads, config.alpha) == (4, heads, 8)
  assert config.targets == "lm+towers"


@pytest.mark.parametrize("targets", ["lm", "lm+towers"])
@pytest.mark.parametrize("dtype", [_BF16, np.dtype(np.float32)])
def test_ours_to_theirs_and_back(tmp_path, dtype, targets):
  config = configs.ILora(rank=5, heads=3, alpha=7.0, targets=targets)
  model = dataclasses.replace(files["model"](tmp_path), adapter=config)
  rng = np.random.default_rng(1)
  ours = {
    path: rng.standard_normal(leaf.shape).astype(dtype)
    for path, leaf in ilora.leaves(
      nn.meta.unbox(thinker.abstract(model))
    ).items()
  }
  tree = flax.traverse_util.unflatten_dict(ours, sep="/")
  official.write(tmp_path / "w.bin", tree, config)
  base = dataclasses.replace(model, adapter=None)
  back, settings = official.read(tmp_path / "w.bin", base, 7.0)
  assert _bits(ilora.leaves(back)) == _bits(ours)
  assert settings == config


def test_layout(tmp_path):
  theirs = _file()
  params, _ = _read(tmp_path, theirs)
  found = params["model"]["layers"]["mlp"]["down_proj"]
  name = "base_model.model.model.layers.2.mlp.down_proj"
  for ours, leaf in (
    (found["lora_route"][2], "lora_route"),
    (found["lora_A"][2], "lora_A"),
    (found["lora_B"][2, 1], "lora_B1"),
  ):
    np.testing.assert_array_equal(ours, theirs[f"{name}.{leaf}.weight"].T)


def test_export_rounds_only_when_asked(tmp_path):
  params, config = _read(tmp_path, _file(dtype=np.float32))
  official.write(tmp_path / "w.bin", params, config, "bfloat16")
  theirs = _file(dtype=np.float32)
  for name, tensor in torch_file.read(tmp_path / "w.bin").items():
    assert tensor.dtype == _BF16
    np.testing.assert_array_equal(tensor, theirs[name].astype(_BF16))


def test_one_head_needs_no_router(tmp_path):
  theirs = _file(heads=1)
  params, config = _read(tmp_path, theirs)
  assert config.heads == 1
  assert not any("route" in path for path in ilora.leaves(params))
  official.write(tmp_path / "back.bin", params, config)
  back = torch_file.read(tmp_path / "back.bin")
  assert list(back) == list(theirs)
  for name, tensor in back.items():
    expected = np.zeros_like(tensor) if "route" in name else theirs[name]
    np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize("prefix", ["", "thinker.", "5.23"])
def test_other_prefixes_are_known(tmp_path, prefix):
  theirs = _file()

  def rename(name):
    short = name.removeprefix("base_model.model.")
    if prefix == "5.23":
      return "base_model.model." + files["newest"](short)
    return f"base_model.model.{prefix}{short}"

  renamed = {rename(name): tensor for name, tensor in theirs.items()}
  found, expected = _read(tmp_path, renamed)[0], _read(tmp_path, theirs)[0]
  assert _bits(ilora.leaves(found)) == _bits(ilora.leaves(expected))


_Q = "base_model.model.model.layers.1.self_attn.q_proj"
_DAMAGES = {
  "missing": (
    lambda found: found.pop(f"{_Q}.lora_B1.weight"),
    "1 missing: model.layers.1.self_attn.q_proj.lora_B1.weight",
  ),
  "missing layers": (
    lambda found: [
      found.pop(
        f"base_model.model.visual.blocks.{layer}.mlp.up_proj.lora_A.weight"
      )
      for layer in range(3)
    ],
    "3 missing: visual.blocks.{0-2}.mlp.up_proj.lora_A.weight",
  ),
  "extra": (
    lambda found: found.update({f"{_Q}.weight": np.zeros((24, 24), _BF16)}),
    "1 unexpected: model.layers.1.self_attn.q_proj.weight",
  ),
  "out_proj": (
    lambda found: found.update(
      {
        "base_model.model.audio_tower.layers.0.self_attn.out_proj.lora_A.weight": np.zeros(
          (4, 16), _BF16
        )
      }
    ),
    "unexpected: audio_tower.layers.0.self_attn.out_proj.lora_A.weight",
  ),
  "rank": (
    lambda found: found.update(
      {f"{_Q}.lora_A.weight": np.zeros((5, 24), _BF16)}
    ),
    "lora_A.weight (expected [4, 24], got [5, 24])",
  ),
  "far layer": (
    lambda found: found.update(
      {
        "base_model.model.model.layers.99999999999.self_attn.q_proj"
        ".lora_A.weight": np.zeros((4, 24), _BF16)
      }
    ),
    "unexpected: model.layers.99999999999.self_attn.q_proj",
  ),
  "twice": (
    lambda found: found.update(
      {
        f"thinker.{_Q.removeprefix('base_model.model.')}.lora_A.weight": np.zeros(
          (4, 24), _BF16
        )
      }
    ),
    "is there twice",
  ),
  "dtypes": (
    lambda found: found.update(
      {f"{_Q}.lora_A.weight": np.zeros((4, 24), np.float32)}
    ),
    "several dtypes: bfloat16, float32",
  ),
  "not a number": (
    lambda found: found.update(
      {f"{_Q}.lora_A.weight": np.full((4, 24), np.nan, _BF16)}
    ),
    "1 not finite: model.layers.1.self_attn.q_proj.lora_A.weight",
  ),
}


@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.parametrize("damage", _DAMAGES)
def test_what_is_wrong_is_named(tmp_path, damage, with_base):
  theirs = _file()
  change, message = _DAMAGES[damage]
  change(theirs)
  base = files["model"](tmp_path) if with_base else None
  with pytest.raises(errors.UserError) as error:
    _read(tmp_path, theirs, base)
  assert message in str(error.value)


def test_another_base_is_refused(tmp_path):
  base = files["model"](tmp_path)
  deeper = dataclasses.replace(base.decoder, layers=4)
  with pytest.raises(errors.UserError, match="14 missing|35 missing"):
    _read(tmp_path, _file(), dataclasses.replace(base, decoder=deeper))
  wider = dataclasses.replace(base.decoder, width=48, head_size=6)
  with pytest.raises(errors.UserError, match="of another shape"):
    _read(tmp_path, _file(), dataclasses.replace(base, decoder=wider))


def test_only_the_decoder(tmp_path):
  theirs = _file(towers=_TOWERS[2:])
  base = files["model"](tmp_path)
  params, config = _read(tmp_path, theirs, base)
  assert config.targets == "lm"
  assert set(params) == {"model"}
  official.write(tmp_path / "back.bin", params, config)
  assert _bits(torch_file.read(tmp_path / "back.bin")) == _bits(theirs)


def test_no_adapter_at_all(tmp_path):
  with pytest.raises(errors.UserError, match="holds no adapter"):
    _read(tmp_path, {"a": np.zeros((2, 2), np.float32)})


def test_separate_codes_cannot_be_exported(tmp_path):
  with pytest.raises(errors.UserError, match="one A for all heads"):
    official.write(tmp_path / "w.bin", {}, configs.ILora(shared_a=False))


def test_the_released_files_counts():
  """1,940 tensors and 870,480,512 parameters for the 7B at rank 128."""
  sizes = module_sizes.of_model(configs.qwen2_5_omni_7b())
  expected = official._expected(sizes, configs.ILora())
  assert len(expected) == 1940
  assert (
    sum(rows * columns for rows, columns in expected.values()) == 870_480_512
  )
  first, last = list(expected)[0], list(expected)[-1]
  assert first == "audio_tower.layers.0.self_attn.k_proj.lora_route.weight"
  assert last == "model.layers.27.mlp.down_proj.lora_B2.weight"

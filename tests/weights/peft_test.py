"""A LoRA of PEFT becomes an adapter of one head, or says why not."""

import dataclasses
import json
import pathlib
import runpy

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from crab_jax import errors
from crab_jax.models import ilora
from crab_jax.weights import peft
from crab_jax.weights import torch_file

files = runpy.run_path(
  str(pathlib.Path(__file__).with_name("checkpoint_files.py"))
)
_SETTINGS = {
  "peft_type": "LORA",
  "r": 4,
  "lora_alpha": 12,
  "lora_dropout": 0.05,
  "target_modules": ["q_proj", "v_proj"],
  "bias": "none",
  "fan_in_fan_out": False,
  "use_dora": False,
  "use_rslora": False,
  "modules_to_save": None,
  "init_lora_weights": True,
  "inference_mode": True,
  "task_type": "CAUSAL_LM",
  "megatron_core": "megatron.core",
  "loftq_config": {},
  "runtime_config": {"ephemeral_gpu_offload": False},
}
_OUT = {"q_proj": 24, "v_proj": 12, "up_proj": 28}
_PREFIX = "base_model.model."
_SWIFT = f"{_PREFIX}thinker."


def _lora(prefix=_PREFIX, modules=("q_proj", "v_proj"), rank=4, dtype="f4"):
  """Tensors of a LoRA of some modules of the tiny checkpoint's decoder."""
  rng = np.random.default_rng(0)
  found = {}
  for layer in range(3):
    for module in modules:
      part = "mlp" if module == "up_proj" else "self_attn"
      name = f"{prefix}model.layers.{layer}.{part}.{module}"
      for leaf, shape in (("A", (rank, 24)), ("B", (_OUT[module], rank))):
        values = rng.standard_normal(shape).astype(dtype)
        found[f"{name}.lora_{leaf}.weight"] = values
  return found


def _write(folder, tensors, settings=_SETTINGS, name=peft.TENSORS[0]):
  folder.mkdir(exist_ok=True)
  (folder / peft.SETTINGS).write_text(json.dumps(settings))
  if name.endswith(".bin"):
    torch_file.write(folder / name, tensors)
  else:
    safetensors.numpy.save_file(tensors, folder / name)
  return folder / name


def _read(tmp_path, tensors, settings=_SETTINGS, **others):
  path = _write(tmp_path / "lora", tensors, settings, **others)
  return peft.read(path, files["model"](tmp_path))


@pytest.mark.parametrize("dtype", ["f4", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", peft.TENSORS)
def test_tensors_and_settings(tmp_path, name, dtype):
  theirs = _lora(dtype=dtype)
  params, config = _read(tmp_path, theirs, name=name)
  assert dataclasses.asdict(config) | {
    "rank": 4,
    "heads": 1,
    "alpha": 12.0,
    "dropout": 0.05,
    "targets": "lm",
  } == dataclasses.asdict(config)
  found = ilora.projections(params)
  assert len(found) == 7
  assert not any("route" in path for path in ilora.leaves(params))
  query = found["model/layers/self_attn/q_proj"]
  for layer in range(3):
    name = f"{_PREFIX}model.layers.{layer}.self_attn.q_proj"
    for ours, leaf in ((query.a[layer], "A"), (query.b[layer, 0], "B")):
      expected = theirs[f"{name}.lora_{leaf}.weight"].T
      assert ours.dtype == expected.dtype
      np.testing.assert_array_equal(ours, expected)


def test_modules_that_are_left_out_have_no_effect_and_can_learn(tmp_path):
  theirs = _lora()
  del theirs[f"{_PREFIX}model.layers.1.self_attn.q_proj.lora_A.weight"]
  del theirs[f"{_PREFIX}model.layers.1.self_attn.q_proj.lora_B.weight"]
  found = ilora.projections(_read(tmp_path, theirs)[0])
  assert np.abs(found["model/layers/self_attn/q_proj"].b[0]).min() > 0
  for a, b in (
    (found["model/layers/self_attn/q_proj"].a[1:2], None),
    found["model/layers/mlp/down_proj"][:2],
  ):
    assert np.abs(a).max() > 0
    assert b is None or not b.any()
  assert not found["model/layers/self_attn/q_proj"].b[1].any()


def test_float64_becomes_float32(tmp_path):
  params, _ = _read(tmp_path, _lora(dtype="f8"))
  leaves = ilora.leaves(params)
  assert {leaf.dtype for leaf in leaves.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize(
  "pattern",
  [
    "q_proj",
    r"layers\.1\..*q_proj",
    # In full, as the model is named that PEFT wrapped.
    "thinker.model.layers.1.self_attn.q_proj",
    None,
  ],
)
def test_ranks_and_alphas_of_single_modules(tmp_path, pattern, rslora):
  theirs = _lora(_SWIFT)
  settings = {**_SETTINGS, "use_rslora": rslora}
  own = {layer: (4, 12) for layer in range(3)}
  if pattern:
    settings |= {"rank_pattern": {pattern: 2}, "alpha_pattern": {pattern: 5}}
    chosen = range(3) if pattern == "q_proj" else [1]
    own |= dict.fromkeys(chosen, (2, 5))
  for layer, (rank, _) in own.items():
    name = f"{_SWIFT}model.layers.{layer}.self_attn.q_proj.lora_"
    theirs[f"{name}A.weight"] = theirs[f"{name}A.weight"][:rank].copy()
    theirs[f"{name}B.weight"] = theirs[f"{name}B.weight"][:, :rank].copy()
  params, config = _read(tmp_path, theirs, settings)
  found = ilora.projections(params)["model/layers/self_attn/q_proj"]
  for layer, (rank, alpha) in own.items():
    name = f"{_SWIFT}model.layers.{layer}.self_attn.q_proj.lora_"
    a, b = theirs[f"{name}A.weight"], theirs[f"{name}B.weight"]
    expected = alpha / (rank**0.5 if rslora else rank) * (b @ a)
    update = config.scale * (found.a[layer] @ found.b[layer, 0])
    np.testing.assert_allclose(update.T, expected, rtol=1e-5, atol=1e-5)


def test_patterns_speak_of_the_names_in_the_file(tmp_path):
  """A name here that no name there has matches nothing."""
  settings = {**_SETTINGS, "alpha_pattern": {"^model.layers.1.self_attn.*": 99}}
  theirs = _lora("base_model.model.thinker.")
  found = _read(tmp_path, theirs, settings)
  plain = _read(tmp_path, theirs)
  for path, leaf in ilora.leaves(plain[0]).items():
    np.testing.assert_array_equal(ilora.leaves(found[0])[path], leaf)


@pytest.mark.parametrize(
  "prefix",
  [
    "base_model.model.thinker.",  # ms-swift
    "base_model.model.",  # LLaMA-Factory
    "thinker.",
    "module.base_model.model.thinker.",
    "base_model.model._orig_mod.",
    "",
  ],
)
@pytest.mark.parametrize(
  "inner", ["model.layers", "model.language_model.layers"]
)
@pytest.mark.parametrize("adapter", ["", ".default"])
def test_prefixes_of_trainers(tmp_path, prefix, inner, adapter):
  theirs = {
    name.replace(_PREFIX, prefix)
    .replace("model.layers", inner)
    .replace(".weight", f"{adapter}.weight"): tensor
    for name, tensor in _lora().items()
  }
  found, expected = _read(tmp_path, theirs)[0], _read(tmp_path, _lora())[0]
  for path, leaf in ilora.leaves(expected).items():
    np.testing.assert_array_equal(ilora.leaves(found)[path], leaf)


@pytest.mark.parametrize("prefix", ["policy.", "base_model.model.talker2."])
def test_another_prefix_is_named(tmp_path, prefix):
  with pytest.raises(errors.UserError) as error:
    _read(tmp_path, _lora(prefix))
  found = prefix.removeprefix("base_model.model.")
  assert f"12 tensors begin with '{found}'" in str(error.value)
  assert "expected is 'base_model.model.'" in str(error.value)


@pytest.mark.parametrize(
  ("change", "named"),
  [
    ({"use_dora": True}, "use_dora=True"),
    ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
    ({"bias": "all"}, "bias='all'"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
    ({"layer_replication": [[0, 2]]}, "layer_replication="),
    ({"lora_bias": True}, "lora_bias=True"),
    ({"peft_type": "LOHA"}, "peft_type='LOHA'"),
    ({"init_lora_weights": "pissa_niter_4"}, "it changed the base"),
    ({"use_of_the_future": 1}, "use_of_the_future=1"),
    ({"r": 0}, "r is 0"),
    ({"lora_alpha": None}, "lora_alpha is None"),
    ({"rank_pattern": {"q_proj": "x"}}, "rank_pattern"),
    ({"r": 8}, r"expected \[8, 24\]"),
  ],
)
def test_settings_of_another_kind_are_refused_by_name(tmp_path, change, named):
  with pytest.raises(errors.UserError, match=named):
    _read(tmp_path, _lora(), {**_SETTINGS, **change})


_Q = f"{_PREFIX}model.layers.1.self_attn.q_proj"
_DAMAGES = {
  "no B": (
    lambda found: found.pop(f"{_Q}.lora_B.weight"),
    "1 without lora_B: model.layers.1.self_attn.q_proj",
  ),
  "another module": (
    lambda found: found.update({f"{_PREFIX}lm_head.lora_A.weight": _ones(4)}),
    "1 tensors of modules other than q_proj, .*: lm_head.lora_A.weight",
  ),
  "DoRA": (
    lambda found: found.update({f"{_Q}.lora_magnitude_vector": _ones(4)}),
    "lora_magnitude_vector",
  ),
  "a fourth layer": (
    lambda found: found.update(
      {f"{_Q.replace('.1.', '.3.')}.lora_{x}.weight": _ones(4) for x in "AB"}
    ),
    "1 not in the base: model.layers.3.self_attn.q_proj",
  ),
  "width": (
    lambda found: found.update({f"{_Q}.lora_A.weight": _ones(4)}),
    r"of another shape \(\[4, 4\] and \[24, 4\], expected \[4, 24\]",
  ),
  "not a number": (
    lambda found: found.update(
      {f"{_Q}.lora_A.weight": np.full((4, 24), np.nan, np.float32)}
    ),
    "1 not finite: model.layers.1.self_attn.q_proj.lora_A",
  ),
  "integers": (
    lambda found: found.update(
      {f"{_Q}.lora_A.weight": np.ones((4, 24), np.int8)}
    ),
    "1 of dtype int8: model.layers.1.self_attn.q_proj.lora_A",
  ),
  "nothing": (lambda found: found.clear(), "holds no adapter"),
}


def _ones(size):
  return np.ones((size, size), np.float32)


@pytest.mark.parametrize("damage", _DAMAGES)
def test_what_is_wrong_is_named(tmp_path, damage):
  theirs = _lora()
  change, message = _DAMAGES[damage]
  change(theirs)
  with pytest.raises(errors.UserError, match=message):
    _read(tmp_path, theirs)


def test_without_a_base_no_module_may_be_left_out(tmp_path):
  path = _write(tmp_path / "lora", _lora())
  with pytest.raises(errors.UserError, match="k_proj.*|give --base"):
    peft.read(path, None)


def test_damaged_files(tmp_path):
  path = _write(tmp_path / "lora", _lora())
  base = files["model"](tmp_path)
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(errors.UserError, match="safetensors is damaged"):
    peft.read(path, base)
  (path.parent / peft.SETTINGS).write_text("{")
  with pytest.raises(errors.UserError, match="adapter_config.json is damaged"):
    peft.read(path, base)
  (path.parent / peft.SETTINGS).unlink()
  with pytest.raises(errors.UserError, match="adapter_config.json is missing"):
    peft.read(path, base)

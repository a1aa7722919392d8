"""Weights there and back; a failure leaves nothing behind."""

import dataclasses
import json
import shutil

import flax.traverse_util
import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.experiment import conversion
from crab_jax.models import ilora
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import base_export
from crab_jax.weights import torch_file
from tests.weights import checkpoint_files


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  folder = tmp_path_factory.mktemp("source") / "hf"
  checkpoint_files.write(
    folder, checkpoint_files.halves(checkpoint_files.tensors())
  )
  (folder / "tokenizer.json").write_text("{}")
  return folder


@pytest.fixture(scope="module")
def base(source, tmp_path_factory):
  out = tmp_path_factory.mktemp("base") / "model"
  conversion.convert_base(str(source), out)
  return out


@pytest.mark.parametrize("name", ["finetune_weights.bin", "lora_weights.bin"])
def test_adapters_there_and_back(base, tmp_path, capsys, name):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  model = model_folder.load_config(base)
  params = _adapter(model, lora)
  adapter.save(tmp_path / "ours", params, lora)
  out = tmp_path / name
  conversion.export_adapter(tmp_path / "ours", out, None)
  assert len(torch_file.read(out)) == (3 * 2 + 3 * 3 + 7 * 3) * 4
  assert "rank 2, 2 heads, alpha 4" in capsys.readouterr().out
  conversion.import_adapter(out, tmp_path / "back", base, None)
  assert "audio_tower       6      24" in capsys.readouterr().out
  back, settings, _ = adapter.read(tmp_path / "back")
  assert settings == lora
  for path, leaf in ilora.leaves(params).items():
    assert ilora.leaves(back)[path].tobytes() == leaf.tobytes()


def _bad_source(source, folder, damage):
  """A copy of a checkpoint with one thing wrong."""
  shutil.copytree(source, folder)
  if damage == "config":
    config = json.loads((folder / "config.json").read_text())
    config["thinker_config"]["audio_config"]["output_dim"] = 48
    (folder / "config.json").write_text(json.dumps(config))
  else:
    shard = folder / "model-00000.safetensors"
    tensors = safetensors.numpy.load_file(shard)
    tensors["model.norm.weight"][2] = np.nan
    safetensors.numpy.save_file(tensors, shard)
  return folder


@pytest.mark.parametrize(
  ("damage", "culprit"),
  [
    ("config", "output_dim of audio_config is 48"),
    ("nan", "model.norm.weight holds values that are not finite"),
  ],
)
def test_a_bad_source_leaves_nothing(source, tmp_path, damage, culprit):
  bad = _bad_source(source, tmp_path / "hf", damage)
  with pytest.raises(errors.UserError, match=culprit):
    conversion.convert_base(str(bad), tmp_path / "out")
  assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_an_adapter_of_another_base_leaves_nothing(base, tmp_path):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  model = model_folder.load_config(base)
  deeper = dataclasses.replace(model.decoder, layers=4)
  params = _adapter(dataclasses.replace(model, decoder=deeper), lora)
  adapter.save(tmp_path / "ours", params, lora)
  out = tmp_path / "lora_weights.bin"
  conversion.export_adapter(tmp_path / "ours", out, None)
  with pytest.raises(
    errors.UserError, match=r"28 unexpected: model\.layers\.3"
  ):
    conversion.import_adapter(out, tmp_path / "back", base, None)
  assert not (tmp_path / "back").exists()


def _adapter(model, lora):
  model = dataclasses.replace(model, adapter=lora)
  shapes = nn.meta.unbox(thinker.abstract(model))
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes
  )


def test_a_model_folder_with_adapter_is_exported(base, tmp_path):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  model = model_folder.load_config(base)
  params = _adapter(model, lora)
  model_folder.save(
    tmp_path / "model", params, dataclasses.replace(model, adapter=lora), {}
  )
  conversion.export_adapter(tmp_path / "model", tmp_path / "w.bin", "bfloat16")
  found = torch_file.read(tmp_path / "w.bin")
  name = "base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight"
  expected = params["model"]["layers"]["self_attn"]["o_proj"]["lora_A"][1].T
  np.testing.assert_array_equal(found[name], expected.astype(found[name].dtype))


def test_a_base_without_adapter_is_not_exported(base, tmp_path):
  with pytest.raises(errors.UserError, match="has no adapter"):
    conversion.export_adapter(base, tmp_path / "w.bin", None)


def test_an_unknown_dtype_is_named(base, tmp_path):
  with pytest.raises(errors.UserError, match="--dtype=int8: .*float32"):
    conversion.export_adapter(base, tmp_path / "w.bin", "int8")


def _peft(folder, prefix="base_model.model.thinker."):
  """A LoRA of PEFT of two modules of the tiny checkpoint's decoder."""
  rng = np.random.default_rng(0)
  tensors = {}
  for layer in range(3):
    for module, outputs in (("q_proj", 24), ("v_proj", 12)):
      name = f"{prefix}model.layers.{layer}.self_attn.{module}.lora_"
      for leaf, shape in (("A", (2, 24)), ("B", (outputs, 2))):
        values = rng.standard_normal(shape).astype(np.float32)
        tensors[f"{name}{leaf}.weight"] = values
  folder.mkdir()
  settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
  (folder / "adapter_config.json").write_text(json.dumps(settings))
  safetensors.numpy.save_file(tensors, folder / "adapter_model.safetensors")
  return folder


@pytest.mark.parametrize("name", ["", "adapter_model.safetensors"])
def test_a_lora_of_peft_or_its_folder(base, tmp_path, capsys, name):
  source = _peft(tmp_path / "lora") / name
  conversion.import_adapter(source, tmp_path / "ours", base, None)
  assert "adapter_model.safetensors" in capsys.readouterr().out
  settings = adapter.read(tmp_path / "ours")[1]
  assert (settings.rank, settings.heads, settings.alpha) == (2, 1, 4.0)
  with pytest.raises(errors.UserError, match="--alpha: .*adapter_config.json"):
    conversion.import_adapter(source, tmp_path / "ours", base, 2.0)


@pytest.mark.parametrize("name", ["finetune_weights.bin", "lora_weights.bin"])
def test_a_folder_of_an_official_file(base, tmp_path, name):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  params = _adapter(model_folder.load_config(base), lora)
  adapter.save(tmp_path / "ours", params, lora)
  (tmp_path / "run").mkdir()
  conversion.export_adapter(tmp_path / "ours", tmp_path / "run" / name, None)
  conversion.import_adapter(tmp_path / "run", tmp_path / "back", base, None)
  assert adapter.read(tmp_path / "back")[1] == lora
  shutil.copy(tmp_path / "run" / name, tmp_path / "run/adapter_model.bin")
  with pytest.raises(errors.UserError, match="name the file that is meant"):
    conversion.import_adapter(tmp_path / "run", tmp_path / "back", base, None)


def test_a_folder_without_adapter_says_where_one_is(base, tmp_path):
  (tmp_path / "run").mkdir()
  _peft(tmp_path / "run/checkpoint-7")
  with pytest.raises(errors.UserError, match="there is one in checkpoint-7"):
    conversion.import_adapter(tmp_path / "run", tmp_path / "back", base, None)
  with pytest.raises(errors.UserError, match="holds no adapter: none of"):
    conversion.import_adapter(base, tmp_path / "back", base, None)


def test_a_wrong_prefix_is_named_with_the_expected_one(base, tmp_path):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  params = _adapter(model_folder.load_config(base), lora)
  adapter.save(tmp_path / "ours", params, lora)
  conversion.export_adapter(tmp_path / "ours", tmp_path / "w.bin", None)
  tensors = {
    name.replace("base_model.model.", "policy.net."): tensor
    for name, tensor in torch_file.read(tmp_path / "w.bin").items()
  }
  torch_file.write(tmp_path / "renamed.bin", tensors)
  with pytest.raises(errors.UserError) as error:
    conversion.import_adapter(
      tmp_path / "renamed.bin", tmp_path / "back", base, None
    )
  assert "144 tensors begin with 'policy.net.'" in str(error.value)
  assert "expected is 'base_model.model.'" in str(error.value)
  assert "missing" not in str(error.value)


def test_an_adapter_that_routes_is_not_merged(base, tmp_path):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  params = _adapter(model_folder.load_config(base), lora)
  adapter.save(tmp_path / "ours", params, lora)
  with pytest.raises(errors.UserError, match='router="token" weighs 2 heads'):
    conversion.merge(tmp_path / "ours", base, tmp_path / "merged")
  with pytest.raises(errors.UserError, match="give --base"):
    conversion.merge(tmp_path / "ours", None, tmp_path / "merged")
  assert not (tmp_path / "merged").exists()


def test_merged_from_an_adapter_or_from_a_model_with_it(base, tmp_path):
  lora = configs.ILora(rank=2, heads=1, alpha=4.0)
  model = dataclasses.replace(model_folder.load_config(base), adapter=lora)
  whole = model_folder.load_params(base)
  tuned = flax.traverse_util.flatten_dict(whole, sep="/")
  tuned |= ilora.leaves(_adapter(model, lora))
  params = flax.traverse_util.unflatten_dict(tuned, sep="/")
  adapter.save(tmp_path / "ours", params, lora, adapter.fingerprint(whole))
  model_folder.save(tmp_path / "tuned", params, model, {})
  conversion.merge(tmp_path / "ours", base, tmp_path / "one")
  conversion.merge(tmp_path / "tuned", None, tmp_path / "other")
  one, other = (
    flax.traverse_util.flatten_dict(
      model_folder.load_params(tmp_path / name), sep="/"
    )
    for name in ("one", "other")
  )
  bare = flax.traverse_util.flatten_dict(whole, sep="/")
  assert one.keys() == other.keys() == bare.keys()
  changed = 0
  for path, value in one.items():
    assert value.tobytes() == other[path].tobytes()
    changed += value.tobytes() != bare[path].tobytes()
  assert changed == 3 + 3 + 7
  assert model_folder.load_config(tmp_path / "one").adapter is None
  assert (tmp_path / "one/tokenizer.json").read_text() == "{}"
  with pytest.raises(errors.UserError, match="choose another name"):
    conversion.merge(tmp_path / "ours", base, base)
  with pytest.raises(errors.UserError, match="has an adapter: merge it first"):
    conversion.export_base(tmp_path / "tuned", tmp_path / "hf")


def test_an_adapter_of_another_base_is_not_merged(base, tmp_path):
  lora = configs.ILora(rank=2, heads=1, alpha=4.0)
  params = _adapter(model_folder.load_config(base), lora)
  adapter.save(tmp_path / "ours", params, lora, "another")
  with pytest.raises(errors.UserError, match="trained on another base"):
    conversion.merge(tmp_path / "ours", base, tmp_path / "merged")


def test_a_base_and_back(source, base, tmp_path):
  conversion.export_base(base, tmp_path / "hf")
  names = {path.name for path in (tmp_path / "hf").iterdir()}
  assert names == {"config.json", "model.safetensors", "tokenizer.json"}
  found = safetensors.numpy.load_file(tmp_path / "hf/model.safetensors")
  unread = found.pop("audio_tower.audio_bos_eos_token.weight")
  assert unread.shape == (2, 24)
  assert not unread.any()
  expected = checkpoint_files.tensors()
  assert found.keys() == expected.keys()
  for name, tensor in expected.items():
    assert found[name].dtype == tensor.dtype
    assert found[name].tobytes() == tensor.tobytes(), name
  with pytest.raises(errors.UserError, match="exists; choose another name"):
    conversion.export_base(base, tmp_path / "hf")


def test_an_export_that_fails_leaves_nothing(base, tmp_path, monkeypatch):
  def full(*_):
    raise OSError("no space left")

  monkeypatch.setattr(base_export.safetensors_file, "write_folder", full)
  with pytest.raises(errors.UserError, match="no space left"):
    conversion.export_base(base, tmp_path / "hf")
  assert list(tmp_path.iterdir()) == []

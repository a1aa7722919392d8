"""Weights there and back; a failure leaves nothing behind."""

import dataclasses
import json
import shutil

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

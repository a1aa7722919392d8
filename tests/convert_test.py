"""The door: commands, exit codes, and nothing left behind."""

import dataclasses
import json
import pathlib
import runpy
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import linen as nn

from crab_jax import configs
from crab_jax import convert
from crab_jax import errors
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import torch_file

_ROOT = pathlib.Path(__file__).resolve().parents[1]
files = runpy.run_path(str(_ROOT / "tests" / "weights" / "checkpoint_files.py"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  folder = tmp_path_factory.mktemp("source") / "hf"
  files["write"](folder, files["halves"](files["tensors"]()))
  (folder / "tokenizer.json").write_text("{}")
  return folder


@pytest.fixture(scope="module")
def base(source, tmp_path_factory):
  out = tmp_path_factory.mktemp("base") / "model"
  convert.convert_base(str(source), out)
  return out


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "crab_jax.convert", *map(str, arguments)],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )


def test_base_from_the_command_line(source, tmp_path):
  done = _run("base", f"--source={source}", f"--out={tmp_path / 'out'}")
  assert done.returncode == 0, done.stderr
  parameters = sum(int(np.prod(x)) for x in files["shapes"]().values())
  assert f"{parameters:,} parameters (bfloat16)" in done.stdout
  assert "has no chat_template.jinja" in done.stdout
  assert model_folder.load_config(tmp_path / "out").decoder.layers == 3


def test_a_damaged_source_is_one_line_and_exit_code_2(source, tmp_path):
  broken = tmp_path / "hf"
  broken.mkdir()
  for path in source.iterdir():
    (broken / path.name).write_bytes(path.read_bytes())
  shard = broken / "model-00001.safetensors"
  shard.write_bytes(shard.read_bytes()[:-3])
  done = _run("base", f"--source={broken}", f"--out={tmp_path / 'out'}")
  assert done.returncode == 2
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
  assert "model-00001.safetensors is damaged" in line
  assert "Traceback" not in done.stderr
  assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_nothing_to_convert():
  done = _run()
  assert done.returncode == 2
  assert "base, adapter-import, adapter-export" in done.stderr


@pytest.mark.parametrize(
  ("command", "values", "message"),
  [
    ("adapter-import", {"source": "a"}, "--out is required"),
    ("base", {"source": "a", "out": "b", "alpha": 2.0}, "--alpha is for"),
    ("base", {"source": "no-such", "out": "b"}, "no-such is no folder"),
  ],
)
def test_flags(command, values, message):
  absent = dict.fromkeys(("source", "out", "base", "alpha", "dtype"))
  with pytest.raises(errors.UserError, match=message):
    convert.main(command, {**absent, **values})


@pytest.mark.parametrize("name", ["finetune_weights.bin", "lora_weights.bin"])
def test_adapters_there_and_back(base, tmp_path, capsys, name):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  model = model_folder.load_config(base)
  params = _adapter(model, lora)
  adapter.save(tmp_path / "ours", params, lora)
  out = tmp_path / name
  convert.export_adapter(tmp_path / "ours", out, None)
  assert len(torch_file.read(out)) == (3 * 2 + 3 * 3 + 7 * 3) * 4
  assert "rank 2, 2 heads, alpha 4" in capsys.readouterr().out
  convert.import_adapter(out, tmp_path / "back", base, None)
  assert "audio_tower       6      24" in capsys.readouterr().out
  back, settings, _ = adapter.read(tmp_path / "back")
  assert settings == lora
  for path, leaf in adapter.leaves(params).items():
    assert adapter.leaves(back)[path].tobytes() == leaf.tobytes()


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
    convert.convert_base(str(bad), tmp_path / "out")
  assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_an_adapter_of_another_base_leaves_nothing(base, tmp_path):
  lora = configs.ILora(rank=2, heads=2, alpha=4.0)
  model = model_folder.load_config(base)
  deeper = dataclasses.replace(model.decoder, layers=4)
  params = _adapter(dataclasses.replace(model, decoder=deeper), lora)
  adapter.save(tmp_path / "ours", params, lora)
  out = tmp_path / "lora_weights.bin"
  convert.export_adapter(tmp_path / "ours", out, None)
  with pytest.raises(
    errors.UserError, match=r"28 unexpected: model\.layers\.3"
  ):
    convert.import_adapter(out, tmp_path / "back", base, None)
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
  convert.export_adapter(tmp_path / "model", tmp_path / "w.bin", "bfloat16")
  found = torch_file.read(tmp_path / "w.bin")
  name = "base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight"
  expected = params["model"]["layers"]["self_attn"]["o_proj"]["lora_A"][1].T
  np.testing.assert_array_equal(found[name], expected.astype(found[name].dtype))


def test_a_base_without_adapter_is_not_exported(base, tmp_path):
  with pytest.raises(errors.UserError, match="has no adapter"):
    convert.export_adapter(base, tmp_path / "w.bin", None)

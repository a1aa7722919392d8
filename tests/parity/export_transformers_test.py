"""What goes out, transformers loads: bases, merged adapters, LoRAs of PEFT."""

import copy
import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from crab_jax import files
from crab_jax.experiment import conversion
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import safetensors_file
from tests.parity import torch_thinker

_THINKER = transformers.Qwen2_5OmniThinkerForConditionalGeneration
_RANK, _ALPHA = 4, 6.0


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.make()


@pytest.fixture(scope="module")
def base(reference, tmp_path_factory):
  """The converted thinker."""
  folder = files.path(tmp_path_factory.mktemp("base"))
  reference.save_pretrained(folder / "hf")
  conversion.convert_base(str(folder / "hf"), folder / "base")
  return folder / "base"


def _loaded(folder):
  """A thinker of transformers from a folder that must be all there."""
  found, told = _THINKER.from_pretrained(
    folder, output_loading_info=True, attn_implementation="eager"
  )
  assert not any(told[kind] for kind in told)
  return found.eval()


def _state(model):
  """The tensors, but for a table that the network never reads."""
  return {
    name: tensor
    for name, tensor in model.state_dict().items()
    if "audio_bos_eos_token" not in name
  }


def test_a_base_comes_back_bit_for_bit(reference, base, tmp_path, monkeypatch):
  monkeypatch.setattr(safetensors_file, "SHARD_BYTES", 300_000)
  out = files.path(tmp_path / "out")
  conversion.export_base(base, out)
  assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 3
  found, expected = _state(_loaded(out)), _state(reference)
  assert found.keys() == expected.keys()
  for name, tensor in expected.items():
    assert torch.equal(found[name], tensor), name
  conversion.convert_base(str(out), files.path(tmp_path / "again"))
  assert model_folder.load_config(
    files.path(tmp_path / "again")
  ) == model_folder.load_config(base)


def _lora(reference, folder, modules):
  """A LoRA in PEFT's files, and the thinker that it makes of the reference."""
  torch.manual_seed(1)
  tuned, tensors = copy.deepcopy(reference), {}
  for name, module in tuned.named_modules():
    if name.rpartition(".")[2] not in modules:
      continue
    a = torch.randn(_RANK, module.in_features) * module.in_features**-0.5
    b = torch.randn(module.out_features, _RANK) * 0.1
    tensors[f"base_model.model.{name}.lora_A.weight"] = a
    tensors[f"base_model.model.{name}.lora_B.weight"] = b
    with torch.no_grad():
      module.weight += _ALPHA / _RANK * b @ a
  folder.mkdir()
  settings = {"peft_type": "LORA", "r": _RANK, "lora_alpha": _ALPHA}
  (folder / "adapter_config.json").write_text(json.dumps(settings))
  safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors")
  return tuned


@pytest.mark.parametrize(
  "modules", [("q_proj", "v_proj"), tuple(torch_thinker.TARGETS)]
)
def test_a_lora_imported_and_merged(reference, base, tmp_path, modules):
  tuned = _lora(reference, tmp_path / "lora", modules)
  ours, merged = files.path(tmp_path / "ours"), files.path(tmp_path / "merged")
  conversion.import_adapter(files.path(tmp_path / "lora"), ours, base, None)
  conversion.merge(ours, base, merged)
  out = files.path(tmp_path / "out")
  conversion.export_base(merged, out)
  found, expected = _state(_loaded(out)), _state(tuned)
  moved = 0.0
  for name, tensor in expected.items():
    torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=0)
    moved = max(moved, float((tensor - _state(reference)[name]).abs().max()))
  assert moved > 0.1


def test_an_imported_lora_gives_the_logits_of_its_formula(
  reference, base, tmp_path
):
  tuned = _lora(reference, tmp_path / "lora", torch_thinker.TARGETS)
  ours = files.path(tmp_path / "ours")
  conversion.import_adapter(files.path(tmp_path / "lora"), ours, base, None)
  config = model_folder.load_config(base)
  vision = dataclasses.replace(config.vision, frame_size=112)
  config = dataclasses.replace(config, vision=vision)
  params, config = adapter.load(ours, config)
  whole = model_folder.load_params(base)

  def join(one, other):
    return {
      key: join(one[key], other[key])
      if key in one and key in other
      else one.get(key, other.get(key))
      for key in {*one, *other}
    }

  sample = torch_thinker.sample(1, pairs=1, mel=(137,))
  batch = torch_thinker.batch_of(reference, [[sample]], config)
  net = thinker.Thinker(config)
  run = jax.jit(lambda p, b: net.apply({"params": p}, b, method="logits"))
  found = np.asarray(run(join(whole, params), batch)[0])
  with torch.no_grad():
    inputs = torch_thinker.torch_inputs([sample])
    expected = tuned(**inputs).logits[0].numpy()
    assert np.abs(expected - reference(**inputs).logits[0].numpy()).max() > 0.3
  difference = np.abs(found - expected).max()
  print("logits differ by", difference)
  assert difference < 1e-5

"""What `convert inspect` says of a model folder and of an adapter folder."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.configs import presets
from crab_jax.experiment import inspection
from crab_jax.models import ilora
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.weights import adapter

_LORA = configs.ILora(rank=2, heads=3, alpha=256.0)
_MODEL = presets.tiny(adapter=_LORA)


@pytest.fixture(scope="module")
def params():
  """Random parameters, with a largest |B| known by tower and head."""
  draw = np.random.default_rng(0)
  shapes = nn.meta.unbox(thinker.abstract(_MODEL))
  found = jax.tree.map(
    lambda x: draw.uniform(-1, 1, x.shape).astype(x.dtype), shapes
  )
  for path, leaf in ilora.leaves(found).items():
    if path.endswith("lora_B"):
      for head in range(3):
        leaf[..., head, :, :] *= head / np.abs(leaf[..., head, :, :]).max()
      if path.startswith("audio_tower"):
        leaf[:] = 0
  return found


@pytest.fixture(scope="module")
def model(params, tmp_path_factory):
  folder = tmp_path_factory.mktemp("inspected") / "model"
  model_folder.save(folder, params, _MODEL, {})
  return folder


def test_a_model_folder(model, params):
  text = inspection.inspect(model)
  bare = sum(x.size for x in jax.tree.leaves(params)) - sum(
    x.size for x in ilora.leaves(params).values()
  )
  assert re.search(rf"^all +{bare:,} +[\d.]+  float32$", text, re.M)
  assert "of the size of no release" in text
  assert "tokenizer.json is missing" in text
  assert "  ILora.rank is 2, there 128" in text
  assert re.search(
    r"^audio_tower +0 0 0  \(dead: every B is zero\)$", text, re.M
  )
  assert re.search(r"^model +0 1 2$", text, re.M)


def test_an_adapter_folder_says_the_same(params, tmp_path):
  adapter.save(tmp_path / "adapter", params, _LORA, "0123")
  text = inspection.inspect(tmp_path / "adapter")
  assert "base: 0123" in text
  assert re.search(r"^model +0 1 2$", text, re.M)
  size = sum(math.prod(x.shape) for x in ilora.leaves(params).values())
  assert f"{size:,}" in text


def test_values_that_are_not_finite_are_named(params, tmp_path):
  path = "model/layers/mlp/up_proj/lora_A"
  worse = jax.tree.map(np.copy, params)
  ilora.leaves(worse)[path][0, 0, 0] = np.nan
  adapter.save(tmp_path / "adapter", worse, _LORA)
  text = inspection.inspect(tmp_path / "adapter")
  assert f"{path} holds values that are not finite" in text


def test_a_release_is_recognised_and_a_change_named():
  network = inspection._network(presets.qwen2_5_omni_3b(adapter=_LORA))
  assert network == ["as Qwen2.5-Omni-3B"]
  changed = presets.qwen2_5_omni_7b()
  decoder = dataclasses.replace(changed.decoder, layers=27)
  changed = dataclasses.replace(changed, decoder=decoder)
  assert inspection._network(changed) == [
    "differs from Qwen2.5-Omni-7B:",
    "  Decoder.layers is 27, there 28",
  ]


def test_another_folder_is_one_line(tmp_path):
  with pytest.raises(errors.UserError, match=r"neither a model folder"):
    inspection.inspect(tmp_path)
